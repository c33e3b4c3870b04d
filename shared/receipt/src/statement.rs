//! What a receipt states.

use domain::schema;
use domain::{
    Address, Amount, B256, ChainId, Finality, Payment, PaymentId, PaymentState, Timestamp,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The version of the statement that is written here, and the only one that is read.
pub const VERSION: u32 = 1;

/// That a payment was settled, and where on chain anybody finds it.
///
/// It holds what the chain shows and what was agreed on, never what the seller noted for itself.
/// The same payment always gives the same statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ReceiptStatement)]
pub struct Statement {
    /// [`VERSION`]; members may be added to it, and a member that changes its meaning makes another.
    pub version: u32,
    /// The payment.
    pub payment: PaymentId,
    /// The network, as CAIP-2.
    pub network: ChainId,
    /// The token.
    #[schema(value_type = schema::Address)]
    pub asset: Address,
    /// Whose money it was.
    #[schema(value_type = schema::Address)]
    pub payer: Address,
    /// Who was paid.
    #[schema(value_type = schema::Address)]
    pub pay_to: Address,
    /// How much, in atomic units.
    pub amount: Amount,
    /// The contract that the payer let redeem the authorization by Permit2; absent where the token
    /// took it itself (EIP-3009).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::Address, nullable = false)]
    pub permit2_spender: Option<Address>,
    /// The nonce of the payer's authorization, which the token, or Permit2, takes once.
    #[schema(value_type = schema::Hash)]
    pub nonce: B256,
    /// Where the money moved.
    pub transaction: Transaction,
    /// The finality that the seller asked for, which the block had reached when it settled.
    pub finality: Finality,
    /// When the payment settled.
    pub settled_at: Timestamp,
    /// The moment that the statement is about, which is when the payment settled: a receipt that is
    /// asked for twice is the same.
    pub issued_at: Timestamp,
}

/// Where on chain the money moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ReceiptTransaction)]
pub struct Transaction {
    /// The transaction that paid, whoever sent it.
    #[schema(value_type = schema::Hash)]
    pub hash: B256,
    /// Where its `Transfer` stands in the block's logs.
    pub log_index: u64,
    /// The block's height.
    pub block_number: u64,
    /// The block's hash.
    #[schema(value_type = schema::Hash)]
    pub block_hash: B256,
}

impl Statement {
    /// What is to be stated of a payment; nothing, unless it is settled.
    pub fn of(payment: &Payment) -> Option<Self> {
        let PaymentState::Settled { inclusion } = payment.state else { return None };
        let authorization = &payment.authorization;
        Some(Self {
            version: VERSION,
            payment: payment.id,
            network: authorization.chain,
            asset: authorization.asset,
            payer: authorization.payer,
            pay_to: authorization.pay_to,
            amount: authorization.amount,
            permit2_spender: authorization.method.spender(),
            nonce: authorization.nonce,
            transaction: Transaction {
                hash: inclusion.tx_hash,
                log_index: inclusion.log_index,
                block_number: inclusion.block_number,
                block_hash: inclusion.block_hash,
            },
            finality: payment.finality,
            // Nothing changes after it settled.
            settled_at: payment.updated_at,
            issued_at: payment.updated_at,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use domain::{AccountId, Authorization, FailureCode, Inclusion, TransferMethod};
    use uuid::Uuid;

    use super::*;

    pub(crate) fn payment(state: PaymentState) -> Payment {
        Payment {
            id: PaymentId::new(Uuid::from_u128(1)),
            account: AccountId::new(Uuid::from_u128(2)),
            authorization: Authorization {
                method: TransferMethod::Eip3009,
                chain: ChainId::new(84_532).unwrap(),
                asset: Address::repeat_byte(1),
                payer: Address::repeat_byte(2),
                pay_to: Address::repeat_byte(3),
                amount: Amount::from(10_000),
                valid_after: 0,
                valid_before: 10,
                nonce: B256::repeat_byte(4),
            },
            finality: Finality::Safe,
            reference: Some("order 4711".to_owned()),
            metadata: Some(serde_json::json!({"margin": 3})),
            request_id: "req".to_owned(),
            created_at: Timestamp::from_unix_ms(1_772_366_400_000),
            updated_at: Timestamp::from_unix_ms(1_772_366_407_412),
            version: 3,
            state,
        }
    }

    pub(crate) fn statement() -> Statement {
        let inclusion = Inclusion {
            tx_hash: B256::repeat_byte(5),
            log_index: 3,
            block_number: 11,
            block_hash: B256::repeat_byte(6),
        };
        Statement::of(&payment(PaymentState::Settled { inclusion })).unwrap()
    }

    #[test]
    fn a_statement_says_what_the_chain_shows_and_nothing_of_the_sellers_notes() {
        let expected = serde_json::json!({
            "version": 1,
            "payment": "pay_00000000000000000000000001",
            "network": "eip155:84532",
            "asset": Address::repeat_byte(1),
            "payer": Address::repeat_byte(2),
            "pay_to": Address::repeat_byte(3),
            "amount": "10000",
            "nonce": B256::repeat_byte(4),
            "transaction": {
                "hash": B256::repeat_byte(5),
                "log_index": 3,
                "block_number": 11,
                "block_hash": B256::repeat_byte(6),
            },
            "finality": "safe",
            "settled_at": "2026-03-01T12:00:07.412Z",
            "issued_at": "2026-03-01T12:00:07.412Z",
        });
        let written = serde_json::to_value(statement()).unwrap();
        assert_eq!(written, expected);
        assert_eq!(serde_json::from_value::<Statement>(written).unwrap(), statement());
    }

    #[test]
    fn nothing_is_stated_of_a_payment_that_is_not_settled() {
        let inclusion = Inclusion {
            tx_hash: B256::ZERO,
            log_index: 0,
            block_number: 0,
            block_hash: B256::ZERO,
        };
        for state in [
            PaymentState::Accepted,
            PaymentState::Confirmed { inclusion, submission: None },
            PaymentState::Canceled,
            PaymentState::Failed(FailureCode::TransferRefused),
        ] {
            assert_eq!(Statement::of(&payment(state)), None);
        }
    }
}
