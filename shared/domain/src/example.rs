//! An example of each event, for documents and trials.

use std::time::Duration;

use alloy_primitives::{Address, B256, address};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    AccountId, Amount, Authorization, ChainId, EndpointEvent, EndpointId, EndpointNews, EventId,
    EventType, FailureCode, Finality, Inclusion, Payment, PaymentId, PaymentState, Standing,
    Submission, Timestamp, TransactionId, TransferMethod, WebhookBody, WebhookEvent,
};

/// Base, and the USDC on it.
const CHAIN: u64 = 8_453;
const ASSET: Address = address!("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913");

const TX_HASH: B256 = B256::repeat_byte(0x12);

/// 2026-03-01T12:00:00.101Z.
const SUBMITTED: Timestamp = Timestamp::from_unix_ms(1_772_366_400_101);

/// The webhook that would tell of such an event; the payment or endpoint in it is made up.
pub fn example_event(kind: EventType, id: EventId, account: AccountId, at: Timestamp) -> Value {
    let news = match kind {
        EventType::EndpointFailing => EndpointNews::Failing(SUBMITTED),
        EventType::EndpointDisabled => EndpointNews::Disabled("no delivery has arrived"),
        EventType::Accepted
        | EventType::Held
        | EventType::Approved
        | EventType::Requeued
        | EventType::Submitted
        | EventType::Returned
        | EventType::Confirmed
        | EventType::Reorged
        | EventType::Settled
        | EventType::Rejected
        | EventType::Canceled
        | EventType::Expired
        | EventType::Failed => return payment_event(kind, id, account, at),
    };
    json!(EndpointEvent::new(id, account, EndpointId::new(Uuid::from_u128(3)), news, at))
}

fn payment_event(kind: EventType, id: EventId, account: AccountId, at: Timestamp) -> Value {
    let (state, version) = after(kind, at);
    let carrier = matches!(state, PaymentState::Submitted(_)).then_some(TX_HASH);
    let payment = payment(state, version, account, at);
    let standing = Standing::of(&payment, carrier);
    json!(WebhookBody::new(&WebhookEvent { id, kind, payment: &payment, standing }))
}

/// Where such an event leads, the usual way, and the version that it makes.
fn after(kind: EventType, at: Timestamp) -> (PaymentState, u32) {
    let until = at.plus(Duration::from_secs(600));
    let transaction = TransactionId::new(Uuid::from_u128(2));
    let submission = Submission { transaction, approved_until: until };
    let inclusion = Inclusion {
        tx_hash: TX_HASH,
        log_index: 42,
        block_number: 27_182_818,
        block_hash: B256::repeat_byte(0xb1),
    };
    match kind {
        EventType::Accepted | EventType::EndpointFailing | EventType::EndpointDisabled => {
            (PaymentState::Accepted, 1)
        }
        EventType::Held => (PaymentState::Held { until }, 2),
        EventType::Approved => (PaymentState::Approved { until }, 2),
        EventType::Requeued => (PaymentState::Accepted, 3),
        EventType::Submitted => (PaymentState::Submitted(submission), 3),
        EventType::Returned => (PaymentState::Approved { until }, 4),
        EventType::Confirmed => {
            (PaymentState::Confirmed { inclusion, submission: Some(submission) }, 4)
        }
        EventType::Reorged => (PaymentState::Submitted(submission), 5),
        EventType::Settled => (PaymentState::Settled { inclusion }, 5),
        EventType::Rejected => (PaymentState::Rejected(FailureCode::InsufficientFunds), 2),
        EventType::Canceled => (PaymentState::Canceled, 2),
        EventType::Expired => (PaymentState::Expired, 4),
        EventType::Failed => (PaymentState::Failed(FailureCode::AuthorizationUsed), 4),
    }
}

fn payment(state: PaymentState, version: u32, account: AccountId, at: Timestamp) -> Payment {
    let authorization = Authorization {
        method: TransferMethod::Eip3009,
        chain: ChainId::new(CHAIN).expect("8453 is a chain's id"),
        asset: ASSET,
        payer: Address::repeat_byte(0x85),
        pay_to: Address::repeat_byte(0x20),
        amount: Amount::from(10_000),
        valid_after: SUBMITTED.unix_secs(),
        valid_before: SUBMITTED.plus(Duration::from_secs(60)).unix_secs(),
        nonce: B256::repeat_byte(0xf3),
    };
    Payment {
        id: PaymentId::new(Uuid::from_u128(1)),
        account,
        authorization,
        finality: Finality::Confirmed,
        reference: Some("order_4711".to_owned()),
        metadata: Some(json!({"sku": "report-7"})),
        request_id: "req_example".to_owned(),
        created_at: SUBMITTED,
        updated_at: at,
        version,
        state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_an_example_that_tells_of_it() {
        let (id, account) = (EventId::new(Uuid::nil()), AccountId::new(Uuid::nil()));
        for kind in EventType::ALL {
            let example = example_event(kind, id, account, SUBMITTED);
            assert_eq!(example["type"], kind.as_str());
            assert!(example["data"]["status"].is_string(), "{kind}");
        }
    }
}
