//! The journal of a payment: what each change brought to light.

use domain::{Event, FailureCode};
use serde_json::{Value, json};
use store::Change;

use crate::ledger::{Ledger, all_moved, change, later, unique_hash};
use crate::settling::inclusion;

/// The timeline as the status answer shows it, without the times.
async fn told(ledger: &Ledger, payment: domain::PaymentId) -> Vec<Value> {
    let timeline = ledger.store().timeline(payment).await.unwrap();
    let entries = timeline.iter().map(|entry| {
        let mut entry = serde_json::to_value(entry).unwrap();
        entry.as_object_mut().unwrap().remove("at");
        entry
    });
    entries.collect()
}

#[tokio::test]
async fn a_timeline_tells_what_each_change_brought_to_light() {
    let ledger = Ledger::open().await;
    let carrier = unique_hash();
    let paid = inclusion();
    let mut payment = ledger.payment().await;
    for (event, carrier) in [
        (Event::Approved { until: later(600) }, Some(carrier)),
        (Event::Included(paid), None),
        (Event::Finalized, None),
    ] {
        let change = Change { carrier, ..change(&payment, event) };
        let advance = ledger.store().advance(vec![change], later(1)).await.unwrap();
        payment = all_moved(advance).remove(0);
    }

    let block = json!({
        "tx_hash": paid.tx_hash, "log_index": 3, "block_number": 101, "block_hash": paid.block_hash,
    });
    let with_block = |version: u32, status: &str, kind: &str| {
        let mut entry = block.clone();
        entry["version"] = json!(version);
        entry["status"] = json!(status);
        entry["type"] = json!(kind);
        entry
    };
    let expected = vec![
        json!({"version": 1, "status": "accepted", "type": "payment.accepted"}),
        json!({
            "version": 2, "status": "approved", "type": "payment.approved", "tx_hash": carrier,
        }),
        with_block(3, "confirmed", "payment.confirmed"),
        with_block(4, "settled", "payment.settled"),
    ];
    assert_eq!(told(&ledger, payment.id).await, expected);
}

#[tokio::test]
async fn a_timeline_that_ends_badly_tells_why() {
    let ledger = Ledger::open().await;
    let payment = ledger.payment().await;
    let event = Event::Rejected(FailureCode::InsufficientFunds);
    ledger.apply(std::slice::from_ref(&payment), event).await;

    let last = told(&ledger, payment.id).await.pop().unwrap();
    let expected = json!({
        "version": 2, "status": "rejected", "type": "payment.rejected",
        "failure": "insufficient_funds",
    });
    assert_eq!(last, expected);
    assert!(
        ledger
            .store()
            .timeline(domain::PaymentId::new(uuid::Uuid::nil()))
            .await
            .unwrap()
            .is_empty()
    );
}
