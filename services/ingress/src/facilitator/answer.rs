//! Answers in the shapes that stock clients read (`@x402/core` 2.27.0).

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::{Amount, B256, PaymentId, StateName};
use serde::Serialize;
use utoipa::ToSchema;
use x402::{Reason, Refusal, RefusalKind};

/// The longest text that a client is told, in characters, as the reference implementation has it.
const LONGEST_MESSAGE: usize = 500;

/// Whether a payment would be settled.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verification {
    /// Whether it would.
    is_valid: bool,
    /// Why not: a code of x402.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, nullable = false)]
    invalid_reason: Option<Reason>,
    /// Why not, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    invalid_message: Option<String>,
    /// Who would pay.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    payer: Option<String>,
}

/// What became of a payment.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SettlementAnswer {
    /// Whether it was paid.
    success: bool,
    /// Why not, or not yet (`settlement_pending`): a code of x402.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, nullable = false)]
    error_reason: Option<Reason>,
    /// Why not, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error_message: Option<String>,
    /// The hash of the transaction that paid it, or carries it now; empty where there is none.
    transaction: String,
    /// The network, as the request writes it; empty where it names none.
    network: String,
    /// Who pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    payer: Option<String>,
    /// How much was paid, where the scheme is `upto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, nullable = false)]
    amount: Option<Amount>,
    /// What stock clients pass on to the buyer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    extra: Option<Extra>,
}

/// What x402 has no word for.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SettlementExtra)]
pub(crate) struct Extra {
    quittance: Known,
}

/// The payment as this API knows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SettlementPayment)]
pub(crate) struct Known {
    /// The payment.
    pub(super) payment_id: PaymentId,
    /// How it stands.
    pub(super) status: StateName,
    /// Where to ask how it stands.
    pub(super) status_url: String,
}

/// Who pays, and on which network, as the request says.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    pub(super) network: String,
    pub(super) payer: Option<String>,
}

impl Verification {
    pub(super) fn valid(named: Named) -> Self {
        Self { is_valid: true, invalid_reason: None, invalid_message: None, payer: named.payer }
    }

    pub(super) fn invalid(reason: Reason, message: &str, named: Named) -> Self {
        Self {
            is_valid: false,
            invalid_reason: Some(reason),
            invalid_message: Some(shortened(message)),
            payer: named.payer,
        }
    }
}

impl SettlementAnswer {
    pub(super) fn paid(transaction: B256, named: Named) -> Self {
        Self {
            success: true,
            error_reason: None,
            error_message: None,
            transaction: transaction.to_string(),
            network: named.network,
            payer: named.payer,
            amount: None,
            extra: None,
        }
    }

    /// Nothing was asked of what was signed, and nothing is.
    pub(super) fn nothing_owed(named: Named) -> Self {
        let transaction = String::new();
        Self { transaction, ..Self::paid(B256::ZERO, named).of(Amount::ZERO) }
    }

    pub(super) fn unpaid(reason: Reason, message: &str, named: Named) -> Self {
        Self {
            success: false,
            error_reason: Some(reason),
            error_message: Some(shortened(message)),
            transaction: String::new(),
            network: named.network,
            payer: named.payer,
            amount: None,
            extra: None,
        }
    }

    /// The same with how much was paid.
    pub(super) fn of(self, amount: Amount) -> Self {
        Self { amount: Some(amount), ..self }
    }

    /// The same with the transaction that carries the payment.
    pub(super) fn carried(self, transaction: B256) -> Self {
        Self { transaction: transaction.to_string(), ..self }
    }

    /// The same with the payment as this API knows it.
    pub(super) fn known(self, known: Known) -> Self {
        Self { extra: Some(Extra { quittance: known }), ..self }
    }
}

impl IntoResponse for Verification {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

impl IntoResponse for SettlementAnswer {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// The status of a refusal: 400 where the request is of a kind that nobody could settle, and 200 where
/// this payment is not right.
pub(super) const fn status(refusal: &Refusal) -> StatusCode {
    match refusal.kind {
        RefusalKind::UnsupportedVersion
        | RefusalKind::UnsupportedScheme
        | RefusalKind::UnsupportedNetwork
        | RefusalKind::MissingField
        | RefusalKind::MalformedField => StatusCode::BAD_REQUEST,
        RefusalKind::UnsupportedAsset
        | RefusalKind::UnsupportedSignature
        | RefusalKind::AmountMismatch
        | RefusalKind::RecipientMismatch
        | RefusalKind::NetworkMismatch
        | RefusalKind::AssetMismatch
        | RefusalKind::SchemeMismatch
        | RefusalKind::AuthorizationExpired
        | RefusalKind::AuthorizationNotYetValid
        | RefusalKind::AuthorizationWindowTooLong
        | RefusalKind::InvalidSignature => StatusCode::OK,
    }
}

fn shortened(message: &str) -> String {
    message.chars().take(LONGEST_MESSAGE).collect()
}
