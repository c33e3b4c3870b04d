//! What sellers write about their payments comes back as they wrote it.

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::ledger::{Ledger, authorization, intake, new};

/// Numbers that some JSON library somewhere reads or writes in its own way.
const ODD_NUMBERS: &str = r#"{
    "big": 1e16, "bigger": 1e19, "huge": 1e300, "largest": 1.7976931348623157e308,
    "smallest": 5e-324, "zero": -0.0, "integer": 18446744073709551615, "third": 0.3333333333333333,
    "trailing": 1.10, "awkward": 9.000e200
}"#;

#[tokio::test]
async fn odd_numbers_in_metadata_come_back_as_they_were_given() {
    let ledger = Ledger::open().await;
    let metadata: Value = serde_json::from_str(ODD_NUMBERS).unwrap();
    let mut given = intake(ledger.seller, &authorization());
    given.metadata = Some(metadata.clone());
    let payment = new(ledger.accept(given).await);

    let stored = ledger.reload(payment.id).await.metadata.unwrap();
    assert_eq!(stored, metadata);
    assert_eq!(stored.to_string(), metadata.to_string());
}

fn metadata() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[^\0]{0,8}".prop_map(Value::from),
    ];
    let tree = leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[^\0]{0,4}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    prop::collection::btree_map("[^\0]{0,4}", tree, 0..4)
        .prop_map(|members| json!(members.into_iter().collect::<serde_json::Map<_, _>>()))
}

#[test]
fn all_metadata_comes_back_as_it_was_given() {
    let runtime = Runtime::new().unwrap();
    let ledger = runtime.block_on(Ledger::open());
    let config =
        ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(given in prop::collection::vec(metadata(), 1..8))| {
        let stored = runtime.block_on(store_and_load(&ledger, &given));
        prop_assert_eq!(&stored, &given);
        let texts = |values: &[Value]| values.iter().map(Value::to_string).collect::<Vec<_>>();
        prop_assert_eq!(texts(&stored), texts(&given));
    });
}

async fn store_and_load(ledger: &Ledger, metadata: &[Value]) -> Vec<Value> {
    let batch = metadata.iter().map(|metadata| {
        let metadata = Some(metadata.clone());
        store::Intake { metadata, ..intake(ledger.seller, &authorization()) }
    });
    let accepted = ledger.store().accept(batch.collect()).await.unwrap();
    let mut stored = Vec::with_capacity(accepted.len());
    for payment in accepted.into_iter().map(new) {
        stored.push(ledger.reload(payment.id).await.metadata.unwrap());
    }
    stored
}
