//! What the document shows of the facilitator.

use serde_json::{Value, json};

use super::identifier::TAKEN;
use crate::example::submission;

const PAYER: &str = "0x857b06519e91e3a54538791bdbb0e22373e36b66";
const TRANSACTION: &str = "0x6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b";

/// What a stock server posts.
pub(super) fn settle_request() -> Value {
    let mut body = submission();
    for added in ["reference", "metadata"] {
        body.as_object_mut().map(|members| members.remove(added));
    }
    body
}

/// What is settled.
pub(super) fn supported() -> Value {
    json!({
        "kinds": [
            {"x402Version": 2, "scheme": "exact", "network": "eip155:84532"},
            {
                "x402Version": 2,
                "scheme": "upto",
                "network": "eip155:84532",
                "extra": {"facilitatorAddress": "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"},
            },
            {"x402Version": 1, "scheme": "exact", "network": "base-sepolia"},
        ],
        "extensions": ["payment-identifier", "eip2612GasSponsoring"],
        "signers": {"eip155:*": ["0x70997970c51812dc3a010c7d01b50e0d17dc79c8"]},
    })
}

/// A payment that would be settled.
pub(super) fn verified() -> Value {
    json!({"isValid": true, "payer": PAYER})
}

/// A payment that nobody could settle here.
pub(super) fn not_verified() -> Value {
    json!({
        "isValid": false,
        "invalidReason": "invalid_network",
        "invalidMessage": "/paymentRequirements/network is not a network that is settled on, as this \
                           version writes it",
        "payer": PAYER,
    })
}

/// A payment whose identifier is another's.
pub(super) fn not_verified_as_named() -> Value {
    json!({
        "isValid": false,
        "invalidReason": "payment_identifier_conflict",
        "invalidMessage": TAKEN,
        "payer": PAYER,
    })
}

/// A payment that was settled.
pub(super) fn settled() -> Value {
    json!({
        "success": true,
        "transaction": TRANSACTION,
        "network": "eip155:84532",
        "payer": PAYER,
        "extra": {"quittance": {
            "payment_id": "pay_01jnd9d4kgfexr4qk1v4q2k9bp",
            "status": "settled",
            "status_url": "https://pay.example/v1/payments/pay_01jnd9d4kgfexr4qk1v4q2k9bp",
        }},
    })
}

/// A payment that nobody could settle here.
pub(super) fn not_settled() -> Value {
    json!({
        "success": false,
        "errorReason": "unsupported_scheme",
        "errorMessage": "/paymentRequirements/scheme must be exact",
        "transaction": "",
        "network": "eip155:84532",
        "payer": PAYER,
    })
}

/// A payment whose identifier is another's.
pub(super) fn not_settled_as_named() -> Value {
    json!({
        "success": false,
        "errorReason": "payment_identifier_conflict",
        "errorMessage": TAKEN,
        "transaction": "",
        "network": "eip155:84532",
        "payer": PAYER,
    })
}
