//! A payment as the world sees it: the body of a status answer and of a webhook.

use alloy_primitives::{Address, B256};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    AccountId, Amount, ChainId, EventId, EventType, FailureCode, Finality, PayloadVersion, Payment,
    PaymentId, StateName, Timestamp, schema,
};

/// The payment resource of the HTTP API.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Payment)]
pub struct PaymentResource<'a> {
    id: PaymentId,
    #[schema(schema_with = schema::payment)]
    object: &'static str,
    status: StateName,
    /// Whether nothing can happen to it any more.
    terminal: bool,
    /// 1 when accepted, one more with each change; also its `ETag`.
    #[schema(minimum = 1)]
    version: u32,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[schema(schema_with = schema::scheme)]
    scheme: &'static str,
    network: ChainId,
    #[schema(value_type = schema::Address)]
    asset: Address,
    amount: Amount,
    /// What the seller was paid, once it was.
    #[schema(required = true)]
    settled_amount: Option<Amount>,
    #[schema(value_type = schema::Address)]
    payer: Address,
    #[schema(value_type = schema::Address)]
    pay_to: Address,
    authorization: AuthorizationResource,
    /// The seller's own name for it; null to who has but a poll token.
    #[schema(required = true)]
    reference: Option<&'a str>,
    #[schema(required = true, schema_with = schema::any_object)]
    metadata: Option<&'a serde_json::Value>,
    /// The transaction that carries or carried it.
    #[schema(required = true)]
    transaction: Option<TransactionResource>,
    finality_requested: Finality,
    /// Why it ended unpaid, if it did.
    #[schema(required = true)]
    failure: Option<FailureResource>,
    /// The request that submitted it; not there for who has but a poll token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<&'a str>,
}

/// What the buyer signed.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Authorization)]
struct AuthorizationResource {
    /// By what it moves the money, as x402 calls it.
    #[schema(schema_with = schema::transfer_method)]
    method: &'static str,
    /// The most that it lets be taken, of which `amount` was asked; only where the scheme is `upto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    max_amount: Option<Amount>,
    #[schema(value_type = schema::Hash)]
    nonce: B256,
    /// It is taken only in blocks later than this Unix second; with `permit2`, not earlier.
    valid_after: i64,
    /// It is taken only in blocks earlier than this Unix second.
    valid_before: i64,
}

/// How a payment stood after one of its changes. Everything else about it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The state that the change led to.
    pub status: StateName,
    /// The version that it made.
    pub version: u32,
    /// When it happened.
    pub since: Timestamp,
    /// The transaction that carried it then.
    pub transaction: Option<TransactionResource>,
    /// Why it failed.
    pub failure: Option<FailureCode>,
}

impl Standing {
    /// How the payment stands now. `carrier` is the newest hash of the transaction that carries it,
    /// where one does and no block holds it yet.
    pub fn of(payment: &Payment, carrier: Option<B256>) -> Self {
        let mined = payment.state.inclusion().map(|inclusion| TransactionResource {
            hash: inclusion.tx_hash,
            block_number: Some(inclusion.block_number),
            log_index: Some(inclusion.log_index),
        });
        let pending = || {
            carrier.map(|hash| TransactionResource { hash, block_number: None, log_index: None })
        };
        Self {
            status: payment.state.name(),
            version: payment.version,
            since: payment.updated_at,
            transaction: mined.or_else(pending),
            failure: payment.state.failure(),
        }
    }
}

/// The transaction that carries or carried a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Transaction)]
pub struct TransactionResource {
    /// The hash of the newest attempt, or of the one that was mined.
    #[schema(value_type = schema::Hash)]
    pub hash: B256,
    /// The block that holds it, once one does.
    #[schema(required = true)]
    pub block_number: Option<u64>,
    /// Where the `Transfer` stands in that block's logs.
    #[schema(required = true)]
    pub log_index: Option<u64>,
}

/// Why a payment ended unpaid.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Failure)]
struct FailureResource {
    code: FailureCode,
    /// The reason in the words of x402.
    reason: &'static str,
    /// Always false: what has ended does not begin anew.
    retryable: bool,
    /// Whether the old authorization can no longer move money, so that the buyer may sign a new one.
    safe_to_resign: bool,
}

impl<'a> PaymentResource<'a> {
    /// The payment as it stands. `carrier` is the newest hash of the transaction that carries it,
    /// where one does and no block holds it yet.
    pub fn new(payment: &'a Payment, carrier: Option<B256>) -> Self {
        Self::at(payment, Standing::of(payment, carrier))
    }

    /// The payment as it stood then.
    pub fn at(payment: &'a Payment, standing: Standing) -> Self {
        let authorization = &payment.authorization;
        let Standing { status, version, since, transaction, failure } = standing;
        Self {
            id: payment.id,
            object: "payment",
            status,
            terminal: status.is_terminal(),
            version,
            created_at: payment.created_at,
            updated_at: since,
            scheme: authorization.method.scheme(),
            network: authorization.chain,
            asset: authorization.asset,
            amount: authorization.amount,
            settled_amount: (status == StateName::Settled).then_some(authorization.amount),
            payer: authorization.payer,
            pay_to: authorization.pay_to,
            authorization: AuthorizationResource {
                method: authorization.method.as_str(),
                max_amount: authorization.method.most(),
                nonce: authorization.nonce,
                valid_after: authorization.valid_after,
                valid_before: authorization.valid_before,
            },
            reference: payment.reference.as_deref(),
            metadata: payment.metadata.as_ref(),
            transaction,
            finality_requested: payment.finality,
            failure: failure.map(|code| FailureResource {
                code,
                reason: code.x402_reason(authorization.method),
                retryable: false,
                safe_to_resign: code.safe_to_resign(),
            }),
            request_id: Some(&payment.request_id),
        }
    }
}

impl PaymentResource<'_> {
    /// The same without what the seller has noted for itself: what its buyer may see.
    #[must_use]
    pub fn without_notes(self) -> Self {
        Self { reference: None, metadata: None, request_id: None, ..self }
    }
}

/// One change of one payment, as it is told to sellers.
#[derive(Clone, Copy, Debug)]
pub struct WebhookEvent<'a> {
    /// The `webhook-id`.
    pub id: EventId,
    /// What happened.
    pub kind: EventType,
    /// The payment.
    pub payment: &'a Payment,
    /// How it stood after the change.
    pub standing: Standing,
}

/// The body of a webhook (Standard Webhooks 1.0.0: `type`, `timestamp`, `data`, and our own).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub struct WebhookBody<'a> {
    r#type: EventType,
    /// When it happened.
    timestamp: Timestamp,
    id: EventId,
    /// The version of the body's shape.
    api_version: PayloadVersion,
    account: AccountId,
    /// The version of the payment that the change made.
    #[schema(minimum = 1)]
    sequence: u32,
    /// The payment as it stood then.
    data: PaymentResource<'a>,
}

impl<'a> WebhookBody<'a> {
    /// The version of the payload's shape.
    pub const API_VERSION: PayloadVersion = PayloadVersion::V2026_11_01;

    /// The body that tells of this change; `timestamp` is when it happened.
    pub fn new(event: &WebhookEvent<'a>) -> Self {
        Self {
            r#type: event.kind,
            timestamp: event.standing.since,
            id: event.id,
            api_version: Self::API_VERSION,
            account: event.payment.account,
            sequence: event.standing.version,
            data: PaymentResource::at(event.payment, event.standing),
        }
    }

    /// The bytes to store, sign and send: always the same for the same event.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a body of strings and numbers is always JSON")
    }
}
