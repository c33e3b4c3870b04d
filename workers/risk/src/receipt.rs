//! What an engine is told of how a payment ended, in the words of x402-secure.

use domain::{Payment, PaymentState};
use serde_json::{Value, json};
use store::DueReceipt;

/// The receipt of a payment that is over.
pub(crate) fn receipt(due: &DueReceipt) -> Value {
    let Payment { id, authorization, state, .. } = &due.payment;
    let is_settled = matches!(state, PaymentState::Settled { .. });
    let transaction = state.inclusion().map(|inclusion| inclusion.tx_hash);
    json!({
        "decisionId": due.decision_id,
        "evidenceRef": due.mandate,
        "settlementAttemptId": due.transaction,
        "idempotencyKey": id,
        "payment": {
            "paymentId": id,
            "protocol": "x402:exact",
            "network": authorization.chain,
            "asset": authorization.asset,
            "payer": authorization.payer,
            "payTo": authorization.pay_to,
            "amount": authorization.amount,
            "nonce": authorization.nonce,
            "status": state.name(),
            "settlementStatus": if is_settled { "success" } else { "failed" },
            "transaction": transaction,
            "errorReason": state.failure(),
        },
        "metadata": {},
    })
}

#[cfg(test)]
mod tests {
    use domain::{B256, FailureCode, Inclusion, TransactionId};
    use uuid::Uuid;

    use super::*;
    use crate::engine::case_for_tests;

    fn due(state: PaymentState) -> DueReceipt {
        DueReceipt {
            payment: Payment { state, ..case_for_tests::payment() },
            decision_id: "d-1".to_owned(),
            mandate: None,
            transaction: None,
            attempt: 1,
        }
    }

    #[test]
    fn a_payment_that_was_paid_is_told_with_its_transaction() {
        let inclusion = Inclusion {
            tx_hash: B256::repeat_byte(0x6b),
            log_index: 3,
            block_number: 7,
            block_hash: B256::repeat_byte(0x8d),
        };
        let due = DueReceipt {
            mandate: Some("mandate-7".to_owned()),
            transaction: Some(TransactionId::new(Uuid::from_u128(9))),
            ..due(PaymentState::Settled { inclusion })
        };
        assert_eq!(
            receipt(&due),
            json!({
                "decisionId": "d-1",
                "evidenceRef": "mandate-7",
                "settlementAttemptId": TransactionId::new(Uuid::from_u128(9)).to_string(),
                "idempotencyKey": "pay_00000000000000000000000001",
                "payment": {
                    "paymentId": "pay_00000000000000000000000001",
                    "protocol": "x402:exact",
                    "network": "eip155:84532",
                    "asset": "0xa5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5",
                    "payer": "0x0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
                    "payTo": "0x7070707070707070707070707070707070707070",
                    "amount": "10000",
                    "nonce": B256::repeat_byte(0x0c),
                    "status": "settled",
                    "settlementStatus": "success",
                    "transaction": B256::repeat_byte(0x6b),
                    "errorReason": null,
                },
                "metadata": {},
            })
        );
    }

    #[test]
    fn a_payment_that_was_not_is_told_with_the_reason() {
        let told = receipt(&due(PaymentState::Failed(FailureCode::TransferRefused)));
        let payment = &told["payment"];
        assert_eq!(
            (&payment["status"], &payment["settlementStatus"]),
            (&json!("failed"), &json!("failed"))
        );
        assert_eq!(payment["errorReason"], json!("transfer_refused"));
        assert_eq!(
            (&payment["transaction"], &told["settlementAttemptId"]),
            (&Value::Null, &Value::Null)
        );
    }
}
