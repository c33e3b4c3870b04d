//! What the installation signs with.

use domain::Timestamp;
use store::SigningKeyRow;
use uuid::Uuid;

use crate::ledger::{Ledger, NOW, later};

/// The first key is made by the server's clock, which is far from [`NOW`].
async fn made_at_now(ledger: &Ledger) {
    let now = NOW.to_datetime().unix_timestamp();
    let set = format!("created_at = to_timestamp({now}), active_from = to_timestamp({now})");
    ledger.sql(&format!("update signing_keys set {set}")).await.unwrap();
}

fn signing(keys: &[SigningKeyRow], now: Timestamp) -> Uuid {
    SigningKeyRow::signing(keys, now).unwrap().id
}

#[tokio::test]
async fn a_new_ledger_has_one_key_and_it_signs_whatever_the_time() {
    let ledger = Ledger::open().await;
    let keys = ledger.store().signing_keys().await.unwrap();
    assert_eq!(keys.len(), 1);
    assert_ne!(keys[0].seed, [0; 32]);
    assert_eq!(keys[0].created_at, keys[0].active_from);
    for now in [Timestamp::default(), NOW, Timestamp::from_unix_ms(i64::MAX)] {
        assert_eq!(signing(&keys, now), keys[0].id);
    }

    ledger.sql("drop schema public cascade; create schema public").await.unwrap();
    ledger.store().migrate().await.unwrap();
    let anew = ledger.store().signing_keys().await.unwrap();
    assert_ne!(keys[0].seed, anew[0].seed);
}

#[tokio::test]
async fn a_new_key_is_shown_for_an_hour_before_it_signs_and_the_old_one_stays() {
    let ledger = Ledger::open().await;
    made_at_now(&ledger).await;
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    ledger.store().add_signing_key(first, [1; 32], later(10)).await.unwrap();
    let added = ledger.store().add_signing_key(second, [2; 32], later(20)).await.unwrap();

    let keys = ledger.store().signing_keys().await.unwrap();
    assert_eq!(keys.iter().map(|key| key.id).collect::<Vec<_>>()[1..], [first, second]);
    assert_eq!(keys[2], added);
    for (secs, expected) in [(3_609, keys[0].id), (3_610, first), (3_619, first), (3_620, second)] {
        assert_eq!(signing(&keys, later(secs)), expected, "{secs} s later");
    }
}

#[tokio::test]
async fn no_two_keys_grow_from_one_seed() {
    let ledger = Ledger::open().await;
    ledger.store().add_signing_key(Uuid::now_v7(), [1; 32], NOW).await.unwrap();
    assert!(ledger.store().add_signing_key(Uuid::now_v7(), [1; 32], later(1)).await.is_err());
    assert_eq!(ledger.store().signing_keys().await.unwrap().len(), 2);
}

#[test]
fn a_seed_is_not_printed() {
    let seed = [0xAB; 32];
    let key = SigningKeyRow { id: Uuid::nil(), seed, created_at: NOW, active_from: NOW };
    let printed = format!("{key:?}").to_lowercase();
    assert!(!printed.contains("171") && !printed.contains("abab"), "{printed}");
}
