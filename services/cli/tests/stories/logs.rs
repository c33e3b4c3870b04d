//! What the processes print: one shape, and never a secret.

use serde_json::Value;
use x402::Version;

use crate::pipeline::{Pipeline, SIGNER_KEY};

/// The keys that a log line may have, and no others.
const KEYS: [&str; 9] = [
    "timestamp",
    "level",
    "message",
    "service",
    "traceId",
    "spanId",
    "userId",
    "error",
    "metadata",
];

fn assert_has_the_shape(line: &str) {
    let parsed: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    let fields = parsed.as_object().unwrap();
    for needed in ["timestamp", "level", "message", "service", "metadata"] {
        assert!(fields.contains_key(needed), "no {needed}: {line}");
    }
    assert!(fields.keys().all(|key| KEYS.contains(&key.as_str())), "too much: {line}");
    let level = fields["level"].as_str().unwrap();
    assert!(["debug", "info", "warn", "error"].contains(&level), "{line}");
}

#[tokio::test]
async fn every_line_of_every_role_has_the_shape_and_none_has_a_secret() {
    let pipeline = Pipeline::start().await;
    let buyer = pipeline.buyer(100).await;
    let signed = pipeline.sign(&buyer, 100);
    let payment = pipeline.pay(&signed.body_with_header(Version::V2)).await;
    pipeline.assert_settled_and_told(&[payment]).await;

    let signature = signed.payment_payload(Version::V2)["payload"]["signature"].to_string();
    let secrets = [
        signature.trim_matches('"').trim_start_matches("0x"),
        &signed.header(Version::V2),
        pipeline.seller.key.as_str(),
        pipeline.secret.as_str(),
        SIGNER_KEY.trim_start_matches("0x"),
        pipeline.database.url.as_str(),
    ];
    for (role, process) in &pipeline.processes {
        let lines = process.lines();
        assert!(!lines.is_empty(), "{role} printed nothing");
        for line in &lines {
            assert_has_the_shape(line);
            let leaked = secrets.iter().find(|secret| line.contains(**secret));
            assert!(leaked.is_none(), "{role} printed a secret");
        }
    }
}
