//! What the document shows of a submission: one payment of a cent, asked for and taken.

use serde_json::{Value, json};

const ASSET: &str = "0x036cbd53842c5426634e7929541ec2318f3dcf7e";
const SELLER: &str = "0x209693bc6afc0c5328ba36faf03c514ef312287c";

/// What a seller posts.
pub(crate) fn submission() -> Value {
    let terms = json!({
        "scheme": "exact",
        "network": "eip155:84532",
        "asset": ASSET,
        "amount": "10000",
        "payTo": SELLER,
        "maxTimeoutSeconds": 60,
        "extra": {"name": "USDC", "version": "2"},
    });
    json!({
        "x402Version": 2,
        "paymentPayload": {
            "x402Version": 2,
            "resource": {"url": "https://shop.example/report"},
            "accepted": terms,
            "payload": {
                "signature": format!("0x{}1c", "5b".repeat(64)),
                "authorization": {
                    "from": "0x857b06519e91e3a54538791bdbb0e22373e36b66",
                    "to": SELLER,
                    "value": "10000",
                    "validAfter": "1772366340",
                    "validBefore": "1772366460",
                    "nonce": format!("0x{}", "f3746613c2d920b5".repeat(4)),
                },
            },
        },
        "paymentRequirements": terms,
        "reference": "order_4711",
        "metadata": {"sku": "report-7"},
    })
}

/// What it is told at once.
pub(crate) fn taken() -> Value {
    json!({
        "id": "pay_01jnd9d4kgfexr4qk1v4q2k9bp",
        "object": "payment",
        "status": "accepted",
        "terminal": false,
        "version": 1,
        "status_url": "https://pay.example/v1/payments/pay_01jnd9d4kgfexr4qk1v4q2k9bp",
        "poll_token": "qtp_Vb1kz0yq6S2nXr9jWm4cTg",
        "next_poll_ms": 1_000,
    })
}

/// What it is told who comes with the same authorization once more, later.
pub(crate) fn taken_before() -> Value {
    let mut body = taken();
    body["status"] = json!("submitted");
    body["version"] = json!(3);
    body
}

#[cfg(test)]
mod tests {
    use runtime::json;

    use super::*;
    use crate::submission::Submission;

    #[test]
    fn what_the_document_shows_can_be_read() {
        let text = submission().to_string();
        assert!(json::parse::<Submission>(text.as_bytes()).is_ok());
    }
}
