//! A payment to ask about.

use domain::{
    AccountId, Address, Amount, Authorization, B256, ChainId, Finality, Payment, PaymentId,
    PaymentState, RequestTrace, RiskContext, Timestamp, TransferMethod,
};
use uuid::Uuid;

use super::Case;

pub(super) const SESSION: Uuid = Uuid::from_u128(0x11);
pub(super) const TRACE: Uuid = Uuid::from_u128(0x12);
pub(super) const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

pub(crate) fn payment() -> Payment {
    Payment {
        id: PaymentId::new(Uuid::from_u128(1)),
        account: AccountId::new(Uuid::from_u128(2)),
        authorization: Authorization {
            method: TransferMethod::Eip3009,
            chain: ChainId::new(84_532).unwrap(),
            asset: Address::repeat_byte(0xa5),
            payer: Address::repeat_byte(0x0f),
            pay_to: Address::repeat_byte(0x70),
            amount: Amount::from(10_000),
            valid_after: 5,
            valid_before: 6_000,
            nonce: B256::repeat_byte(0x0c),
        },
        finality: Finality::Confirmed,
        reference: None,
        metadata: None,
        request_id: "req_1".to_owned(),
        created_at: Timestamp::from_unix_ms(0),
        updated_at: Timestamp::from_unix_ms(0),
        version: 1,
        state: PaymentState::Accepted,
    }
}

/// What agents hand over to engines that ask for it.
pub(super) fn context() -> RiskContext {
    RiskContext {
        session: Some(SESSION),
        trace: None,
        request: Some(RequestTrace { parent: TRACEPARENT.to_owned(), state: None }),
        mandate: None,
    }
}

/// A case with what every payment has.
pub(super) fn case<'a>(payment: &'a Payment, context: &'a RiskContext) -> Case<'a> {
    Case { payment, x402_version: None, resource: None, context }
}
