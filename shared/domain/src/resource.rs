//! A payment as the world sees it: the body of a status answer and of a webhook.

use alloy_primitives::{Address, B256};
use serde::Serialize;

use crate::{
    AccountId, Amount, ChainId, EventId, EventType, FailureCode, Finality, PayloadVersion, Payment,
    PaymentId, StateName, Timestamp,
};

/// The payment resource of the HTTP API.
#[derive(Clone, Debug, Serialize)]
pub struct PaymentResource<'a> {
    id: PaymentId,
    object: &'static str,
    status: StateName,
    terminal: bool,
    version: u32,
    created_at: Timestamp,
    updated_at: Timestamp,
    scheme: &'static str,
    network: ChainId,
    asset: Address,
    amount: Amount,
    settled_amount: Option<Amount>,
    payer: Address,
    pay_to: Address,
    authorization: AuthorizationResource,
    reference: Option<&'a str>,
    metadata: Option<&'a serde_json::Value>,
    transaction: Option<TransactionResource>,
    finality_requested: Finality,
    failure: Option<FailureResource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Clone, Debug, Serialize)]
struct AuthorizationResource {
    nonce: B256,
    valid_after: i64,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TransactionResource {
    /// The hash of the newest attempt, or of the one that was mined.
    pub hash: B256,
    /// The block that holds it, once one does.
    pub block_number: Option<u64>,
    /// Where the `Transfer` stands in that block's logs.
    pub log_index: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
struct FailureResource {
    code: FailureCode,
    reason: &'static str,
    retryable: bool,
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
            scheme: "exact",
            network: authorization.chain,
            asset: authorization.asset,
            amount: authorization.amount,
            settled_amount: (status == StateName::Settled).then_some(authorization.amount),
            payer: authorization.payer,
            pay_to: authorization.pay_to,
            authorization: AuthorizationResource {
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
                reason: code.x402_reason(),
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
#[derive(Clone, Debug, Serialize)]
pub struct WebhookBody<'a> {
    r#type: EventType,
    timestamp: Timestamp,
    id: EventId,
    api_version: PayloadVersion,
    account: AccountId,
    sequence: u32,
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
