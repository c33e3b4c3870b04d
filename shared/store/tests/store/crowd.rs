//! Submissions at the same instant, from many processes.

use std::collections::HashSet;

use domain::{Authorization, B256, PaymentId};
use futures::future::join_all;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use store::{Acceptance, Intake, Store, StoreError};
use tokio::task::JoinHandle;

use crate::ledger::{Ledger, PATIENCE, authorization, intake, keyed, later};

/// How many processes submit at the same instant.
const PROCESSES: usize = 4;

/// Gives every batch at the same instant, each through one of several processes' handles.
async fn accept_at_once(ledger: &Ledger, batches: Vec<Vec<Intake>>) -> Vec<Vec<Acceptance>> {
    let handles: Vec<Store> = (0..PROCESSES).map(|_| ledger.handle(8)).collect();
    let tasks = batches
        .into_iter()
        .zip(handles.iter().cycle().cloned())
        .map(|(batch, store)| tokio::spawn(async move { store.accept(batch).await }));
    join_all(tasks).await.into_iter().map(|answers| answers.unwrap().unwrap()).collect()
}

fn payment(answer: &Acceptance) -> PaymentId {
    match answer {
        Acceptance::New(payment)
        | Acceptance::Replayed(payment)
        | Acceptance::Existing(payment) => payment.id,
        other => panic!("the payment was expected: {other:?}"),
    }
}

fn shuffled<T: Clone + std::fmt::Debug + 'static>(items: &[T], runner: &mut TestRunner) -> Vec<T> {
    Just(items.to_vec()).prop_shuffle().new_tree(runner).unwrap().current()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_submissions_of_one_authorization_make_one_payment() {
    let ledger = Ledger::open().await;
    let said = authorization();
    let batch = |size: usize| (0..size).map(|_| intake(ledger.seller, &said)).collect::<Vec<_>>();
    // Ten times a hundred.
    let sizes = [1, 3, 9, 27, 60].into_iter().cycle().take(50);
    let batches: Vec<Vec<Intake>> = sizes.map(batch).collect();

    let answers = accept_at_once(&ledger, batches).await.concat();
    assert_eq!(answers.len(), 1000);
    assert_eq!(answers.iter().map(payment).collect::<HashSet<_>>().len(), 1);
    let news = answers.iter().filter(|answer| matches!(answer, Acceptance::New(_))).count();
    assert_eq!(news, 1);
    assert_eq!(ledger.count("payments", "true").await, 1);
    assert_eq!(ledger.count("payment_events", "true").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_uses_of_one_key_make_one_payment() {
    let ledger = Ledger::open().await;
    let said = authorization();
    let same = || keyed(intake(ledger.seller, &said), "order-1", 1);
    let other = || keyed(intake(ledger.seller, &authorization()), "order-1", 2);
    let first = accept_at_once(&ledger, (0..100).map(|_| vec![same()]).collect()).await.concat();
    let news = first.iter().filter(|answer| matches!(answer, Acceptance::New(_))).count();
    assert_eq!(news, 1);
    assert_eq!(first.iter().map(payment).collect::<HashSet<_>>().len(), 1);

    let mixed = (0..50).flat_map(|_| [vec![same()], vec![other()]]).collect();
    let answers = accept_at_once(&ledger, mixed).await.concat();
    let reused = answers.iter().filter(|answer| matches!(answer, Acceptance::KeyReused { .. }));
    assert_eq!(reused.count(), 50);
    assert_eq!(ledger.count("payments", "true").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_overlap_in_any_order_never_wait_in_a_circle() {
    let ledger = Ledger::open().await;
    let mut runner = TestRunner::deterministic();
    for round in 0..10 {
        let said: Vec<_> =
            (0..40).map(|n| (format!("order-{round}-{n}"), authorization())).collect();
        let batches = (0..12).map(|n| {
            let keys = shuffled(&said, &mut runner);
            let authorizations = shuffled(&said, &mut runner);
            // Key and authorization at odds, so that both locks are taken crosswise; and batches
            // without keys, which meet at their authorizations alone.
            keys.into_iter()
                .zip(authorizations)
                .map(|((key, _), (_, said))| match n % 3 {
                    0 => keyed(intake(ledger.seller, &said), &key, 1),
                    _ => intake(ledger.seller, &said),
                })
                .collect()
        });
        // Every answer is there, so none was a deadlock's victim.
        accept_at_once(&ledger, batches.collect()).await;
    }
    assert_eq!(ledger.count("payments", "true").await, 10 * 40);
    ledger.assert_journal_is_whole().await;
}

/// Gives a batch and its reverse while somebody holds what stands in their middle: were what comes
/// before it locked in the order given, each would have what the other needs.
async fn accept_crosswise(ledger: &Ledger, middle: sqlx::PgTransaction<'_>, batch: Vec<Intake>) {
    let reversed = batch.iter().rev().map(|intake| Intake {
        id: PaymentId::new(uuid::Uuid::now_v7()),
        event: domain::EventId::new(uuid::Uuid::now_v7()),
        ..intake.clone()
    });
    let tasks = [reversed.collect(), batch].map(|batch| {
        let store = ledger.handle(1);
        tokio::spawn(async move { store.accept(batch).await })
    });
    ledger.until_waiting(2).await;
    middle.rollback().await.unwrap();
    for answers in join_all(tasks).await {
        assert_eq!(answers.unwrap().unwrap().len(), 9);
    }
    assert_eq!(ledger.count("payments", "true").await, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn authorizations_are_locked_in_one_order_whatever_the_batchs() {
    let ledger = Ledger::open().await;
    let said: Vec<Authorization> =
        (1..=9).map(|n| Authorization { nonce: B256::repeat_byte(n), ..authorization() }).collect();
    let middle = ledger.hold(&insert_payment(&ledger, &said[4])).await;
    let batch = said.iter().map(|said| intake(ledger.seller, said)).collect();
    accept_crosswise(&ledger, middle, batch).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_locked_in_one_order_whatever_the_batchs() {
    let ledger = Ledger::open().await;
    let batch: Vec<Intake> = (1..=9)
        .map(|n| keyed(intake(ledger.seller, &authorization()), &format!("order-{n}"), 1))
        .collect();
    let middle = ledger.hold(&insert_key(&ledger, "order-5", batch[4].id)).await;
    accept_crosswise(&ledger, middle, batch).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_waits_to_see_what_becomes_of_another() {
    let ledger = Ledger::open().await;
    for commits in [false, true] {
        let said = authorization();
        let holder = ledger.hold(&insert_payment(&ledger, &said)).await;
        let (store, submitted) = (ledger.handle(1), intake(ledger.seller, &said));
        let task = tokio::spawn(async move { store.accept(vec![submitted]).await });
        ledger.until_waiting(1).await;
        if commits { holder.commit().await } else { holder.rollback().await }.unwrap();

        let answer = task.await.unwrap().unwrap().remove(0);
        assert_eq!(matches!(answer, Acceptance::Existing(_)), commits, "{answer:?}");
        assert_eq!(matches!(answer, Acceptance::New(_)), !commits, "{answer:?}");
    }
}

/// A batch under way, which waits for `holder` with its first submission already written.
async fn stuck(
    ledger: &Ledger,
    free: &Authorization,
) -> (sqlx::PgTransaction<'static>, JoinHandle<Result<Vec<Acceptance>, StoreError>>) {
    let taken = authorization();
    let holder = ledger.hold(&insert_payment(ledger, &taken)).await;
    let store = ledger.handle(1);
    let batch = vec![
        keyed(intake(ledger.seller, free), "order-1", 1),
        keyed(intake(ledger.seller, &taken), "order-2", 2),
    ];
    let task = tokio::spawn(async move { store.accept(batch).await });
    ledger.until_waiting(1).await;
    (holder, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_connection_is_lost_leaves_nothing() {
    let ledger = Ledger::open().await;
    let (holder, task) = stuck(&ledger, &authorization()).await;
    ledger
        .rows(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock'",
        )
        .await;

    let lost = task.await.unwrap().unwrap_err();
    assert!(lost.is_unavailable(), "{lost}");
    holder.rollback().await.unwrap();
    for table in ["payments", "payment_events", "idempotency_keys"] {
        assert_eq!(ledger.count(table, "true").await, 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_in_the_middle_leaves_nothing_and_no_lock() {
    let ledger = Ledger::open().await;
    let free = authorization();
    let (holder, task) = stuck(&ledger, &free).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    holder.rollback().await.unwrap();

    // Were its key or its authorization still locked, this would wait.
    let again = keyed(intake(ledger.seller, &free), "order-1", 1);
    let answer = tokio::time::timeout(PATIENCE, ledger.accept(again)).await.unwrap();
    assert!(matches!(answer, Acceptance::New(_)), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_forgotten_while_it_is_looked_up_is_claimed_again() {
    let ledger = Ledger::open().await;
    let said = authorization();
    let first = ledger.accept(keyed(intake(ledger.seller, &said), "order-1", 1)).await;
    // The batch finds the first key, and then waits for the second.
    let holder = ledger.hold(&insert_key(&ledger, "order-2", payment(&first))).await;
    let batch = ["order-1", "order-2"].map(|key| Intake {
        accepted_at: later(60),
        ..keyed(intake(ledger.seller, &said), key, 1)
    });
    let store = ledger.handle(1);
    let task = tokio::spawn(async move { store.accept(batch.to_vec()).await });
    ledger.until_waiting(1).await;
    assert_eq!(ledger.store().forget_idempotency_keys(later(1), 10).await.unwrap(), 1);
    holder.rollback().await.unwrap();

    for answer in task.await.unwrap().unwrap() {
        assert!(
            matches!(&answer, Acceptance::Existing(p) if p.id == payment(&first)),
            "{answer:?}"
        );
    }
    assert_eq!(ledger.count("idempotency_keys", "true").await, 2);
}

fn insert_payment(ledger: &Ledger, said: &Authorization) -> String {
    format!(
        "insert into payments (id, account_id, chain_id, asset, payer, nonce, pay_to, amount,
             valid_after, valid_before, signature, x402_version, finality, request_id, created_at,
             updated_at, due_at, version, state)
         values (gen_random_uuid(), '{}', {}, '\\x{:x}', '\\x{:x}', '\\x{:x}', '\\x{:x}', 1, 0, 1,
             '\\x07', 2, 'safe', 'req', now(), now(), now(), 1, 'accepted')",
        ledger.seller.uuid(),
        said.chain.get(),
        said.asset,
        said.payer,
        said.nonce,
        said.pay_to,
    )
}

fn insert_key(ledger: &Ledger, key: &str, payment: PaymentId) -> String {
    format!(
        "insert into idempotency_keys (account_id, key, body_sha256, payment_id, created_at)
         values ('{}', '{key}', sha256(''), '{}', now())",
        ledger.seller.uuid(),
        payment.uuid(),
    )
}
