//! Rounds and attempts: stored whole, or not at all.

use domain::{B256, Event, PaymentState};
use store::{AttemptKind, NewAttempt, Round, StoreError, Stored, TransactionState};

use crate::ledger::{Ledger, NOW, change, later};
use crate::settling::{attempt, follow_up, mined, rests_on, round};

/// Fails unless nothing was ever stored for this ledger's one signer.
async fn assert_nothing_stored(ledger: &Ledger) {
    for table in ["chain_transactions", "transaction_attempts", "transaction_items"] {
        assert_eq!(ledger.count(table, "true").await, 0, "{table}");
    }
    assert_eq!(ledger.store().list_signers().await.unwrap()[0].next_nonce, 0);
    ledger.assert_journal_is_whole().await;
}

#[tokio::test]
async fn a_round_is_stored_with_its_bytes_its_items_and_its_payments() {
    let ledger = Ledger::open().await;
    let lane = ledger.lane().await;
    let payments = ledger.approved(3).await;
    let round = round(0, &payments);
    let (transaction, sent) = (round.transaction, round.attempt.clone());
    let stored = ledger.store().store_round(&lane, round.clone(), NOW).await.unwrap();
    assert!(matches!(&stored, Stored::Committed(advance) if advance.moved().count() == 3));

    let stored = ledger.transaction(transaction).await;
    assert_eq!((stored.signer, stored.nonce), (lane.signer, 0));
    assert_eq!(
        (stored.target, stored.input, stored.gas_limit),
        (round.target, round.input, 200_000)
    );
    assert_eq!(stored.state, TransactionState::Open);
    assert_eq!(stored.items, payments.iter().map(|payment| payment.id).collect::<Vec<_>>());
    assert_eq!(ledger.open_items(transaction).await, [true, true, true]);
    let [first] = &stored.attempts[..] else { panic!("one attempt: {:?}", stored.attempts) };
    assert_eq!((first.number, first.kind, first.hash), (1, AttemptKind::Payload, sent.hash));
    assert_eq!((&first.raw, first.signed_at_block), (&sent.raw, 100));
    assert_eq!((first.max_fee_per_gas, first.max_priority_fee_per_gas), (u128::MAX, 1));
    for payment in payments {
        assert_eq!(rests_on(&ledger.reload(payment.id).await), Some(transaction));
    }
    assert_eq!(ledger.store().list_signers().await.unwrap()[0].next_nonce, 1);
    ledger.assert_journal_is_whole().await;
}

#[tokio::test]
async fn a_round_with_a_payment_that_moved_meanwhile_stores_nothing() {
    let ledger = Ledger::open().await;
    let lane = ledger.lane().await;
    let payments = ledger.approved(3).await;
    ledger.apply(&payments[1..2], Event::Canceled).await;

    let stored = ledger.store().store_round(&lane, round(0, &payments), NOW).await.unwrap();
    match stored {
        Stored::Overtaken(overtaken) => assert_eq!(overtaken, [payments[1].id]),
        other => panic!("one was overtaken: {other:?}"),
    }
    assert_nothing_stored(&ledger).await;
    assert_eq!(ledger.reload(payments[0].id).await, payments[0]);
    // Without it, the same nonce is good.
    ledger.carried(&lane, 0, &[payments[0].clone(), payments[2].clone()]).await;
}

#[tokio::test]
async fn a_round_with_a_payment_that_may_not_be_sent_stores_nothing() {
    let ledger = Ledger::open().await;
    let lane = ledger.lane().await;
    let payments = [ledger.approved(1).await, ledger.payments(1).await].concat();

    let stored = ledger.store().store_round(&lane, round(0, &payments), NOW).await.unwrap();
    assert!(matches!(&stored, Stored::Overtaken(of) if *of == [payments[1].id]), "{stored:?}");
    assert_nothing_stored(&ledger).await;
}

#[tokio::test]
async fn a_round_for_another_nonce_than_the_next_stores_nothing() {
    let ledger = Ledger::open().await;
    let lane = ledger.lane().await;
    let payments = ledger.approved(1).await;
    for nonce in [1, 7, u64::MAX] {
        let stored = ledger.store().store_round(&lane, round(nonce, &payments), NOW).await;
        assert!(matches!(stored, Ok(Stored::NonceMoved(0))), "{stored:?}");
    }
    assert_nothing_stored(&ledger).await;
}

#[tokio::test]
async fn a_round_that_the_ledger_refuses_stores_nothing() {
    let ledger = Ledger::open().await;
    let lane = ledger.lane().await;
    let payments = ledger.approved(1).await;
    // The item would be the payment's second open one.
    let twice = [payments.clone(), payments.clone()].concat();
    let stored = ledger.store().store_round(&lane, round(0, &twice), NOW).await.unwrap();
    assert!(matches!(stored, Stored::Overtaken(_)), "{stored:?}");
    let impossible = Round { gas_limit: 0, ..round(0, &payments) };
    let refused = ledger.store().store_round(&lane, impossible, NOW).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_nothing_stored(&ledger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_rounds_at_the_same_instant_for_one_nonce_one_is_stored() {
    let ledger = Ledger::open().await;
    let lane = ledger.lane().await;
    for nonce in 0..10 {
        let (one, other) = (ledger.approved(2).await, ledger.approved(2).await);
        let store = |payments| ledger.store().store_round(&lane, round(nonce, payments), NOW);
        let (one, other) = tokio::join!(store(&one), store(&other));
        let (one, other) = (one.unwrap(), other.unwrap());
        let stored = [&one, &other].map(|stored| matches!(stored, Stored::Committed(_)));
        let moved = |stored: &Stored| matches!(stored, Stored::NonceMoved(n) if *n == nonce + 1);
        assert_ne!(stored[0], stored[1], "{one:?} {other:?}");
        assert!(moved(&one) || moved(&other));
    }
    assert_eq!(ledger.count("chain_transactions", "true").await, 10);
    ledger.assert_items_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_signers_with_the_same_payments_in_opposite_order_one_carries_them() {
    let ledger = Ledger::open().await;
    let (one, other) = (ledger.lane().await, ledger.lane().await);
    let mut nonces = [0, 0];
    for _ in 0..15 {
        let payments = ledger.approved(20).await;
        let reversed: Vec<_> = payments.iter().rev().cloned().collect();
        let (first, second) = tokio::join!(
            ledger.store().store_round(&one, round(nonces[0], &payments), NOW),
            ledger.store().store_round(&other, round(nonces[1], &reversed), NOW),
        );
        match (first.unwrap(), second.unwrap()) {
            (Stored::Committed(_), Stored::Overtaken(all)) if all.len() == 20 => nonces[0] += 1,
            (Stored::Overtaken(all), Stored::Committed(_)) if all.len() == 20 => nonces[1] += 1,
            (first, second) => panic!("one carries them all: {first:?} {second:?}"),
        }
    }
    ledger.assert_items_are_true().await;
    ledger.assert_journal_is_whole().await;
}

#[tokio::test]
async fn attempts_are_numbered_and_the_newest_is_known() {
    let ledger = Ledger::open().await;
    let lane = ledger.lane().await;
    let (id, _) = ledger.carried(&lane, 0, &ledger.approved(1).await).await;
    let (bump, filler) = (attempt(AttemptKind::Payload), attempt(AttemptKind::Filler));
    for next in [&bump, &filler] {
        assert!(ledger.store().store_attempt(&lane, id, next, later(9)).await.unwrap());
    }

    let attempts = ledger.transaction(id).await.attempts;
    let numbers: Vec<(u32, AttemptKind)> =
        attempts.iter().map(|attempt| (attempt.number, attempt.kind)).collect();
    let expected = [(1, AttemptKind::Payload), (2, AttemptKind::Payload), (3, AttemptKind::Filler)];
    assert_eq!(numbers, expected);
    assert_eq!(attempts[1].hash, bump.hash);
    let newest = ledger.store().newest_hashes(&[id]).await.unwrap();
    assert_eq!(newest.get(&id), Some(&filler.hash));
}

#[tokio::test]
async fn only_an_open_transaction_of_the_lanes_own_signer_takes_another_attempt() {
    let ledger = Ledger::open().await;
    let (lane, other) = (ledger.lane().await, ledger.lane().await);
    let (id, payments) = ledger.carried(&lane, 0, &ledger.approved(1).await).await;
    let stored = |lane, attempt: NewAttempt| {
        let store = ledger.store().clone();
        async move { store.store_attempt(&lane, id, &attempt, NOW).await.unwrap() }
    };
    assert!(!stored(other, attempt(AttemptKind::Payload)).await, "another signer's");
    assert!(stored(lane, attempt(AttemptKind::Payload)).await);
    let transaction = ledger.transaction(id).await;
    let block = mined(transaction.attempts[0].hash);
    let mined = follow_up(&transaction, block, &payments, Event::Returned);
    assert!(ledger.store().follow_up(mined, NOW).await.unwrap().is_some());
    assert!(!stored(lane, attempt(AttemptKind::Payload)).await, "it is mined");
}

#[tokio::test]
async fn the_same_bytes_are_never_stored_twice() {
    let ledger = Ledger::open().await;
    let lane = ledger.lane().await;
    let (id, _) = ledger.carried(&lane, 0, &ledger.approved(1).await).await;
    let hash: B256 = ledger.transaction(id).await.attempts[0].hash;
    let same = NewAttempt { hash, ..attempt(AttemptKind::Payload) };

    let refused = ledger.store().store_attempt(&lane, id, &same, NOW).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(ledger.transaction(id).await.attempts.len(), 1);
}

#[tokio::test]
async fn unfinished_transactions_are_listed_by_nonce_until_they_are_final() {
    let ledger = Ledger::open().await;
    let (lane, other) = (ledger.lane().await, ledger.lane().await);
    let mut ids = Vec::new();
    for nonce in 0..3 {
        ids.push(ledger.carried(&lane, nonce, &ledger.approved(1).await).await.0);
    }
    ledger.carried(&other, 0, &ledger.approved(1).await).await;
    let listed = || async {
        let open = ledger.store().open_transactions(lane.signer).await.unwrap();
        open.iter().map(|transaction| transaction.id).collect::<Vec<_>>()
    };
    assert_eq!(listed().await, ids);

    let transaction = ledger.transaction(ids[1]).await;
    let dropped = TransactionState::Dropped;
    let payments = ledger.store().load(&transaction.items).await.unwrap();
    let gone = follow_up(&transaction, dropped, &payments, Event::Returned);
    assert!(ledger.store().follow_up(gone, NOW).await.unwrap().is_some());
    assert_eq!(listed().await, [ids[0], ids[2]]);
}

#[tokio::test]
async fn what_a_node_said_is_noted_with_the_attempt() {
    let ledger = Ledger::open().await;
    let lane = ledger.lane().await;
    let (id, payments) = ledger.carried(&lane, 0, &ledger.approved(1).await).await;
    let hash = ledger.transaction(id).await.attempts[0].hash;
    ledger.store().note_broadcast(hash, "already known", later(1)).await.unwrap();

    let noted = "answer = 'already known' and broadcast_at is not null";
    assert_eq!(ledger.count("transaction_attempts", noted).await, 1);
    assert!(matches!(payments[0].state, PaymentState::Submitted(_)));
    let refused = change(&payments[0], Event::Canceled);
    let outcomes = ledger.store().advance(vec![refused], NOW).await.unwrap().outcomes;
    assert!(matches!(outcomes[..], [store::Advanced::Refused(_)]));
}
