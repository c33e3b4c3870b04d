//! Submissions at the same instant, from many processes.

use std::collections::HashSet;

use domain::PaymentId;
use futures::future::join_all;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use store::{Acceptance, Intake, Store};

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
async fn batches_that_overlap_in_any_order_wait_for_each_other_and_never_in_a_circle() {
    let ledger = Ledger::open().await;
    let mut runner = TestRunner::deterministic();
    for round in 0..12 {
        let said: Vec<_> =
            (0..40).map(|n| (format!("order-{round}-{n}"), authorization())).collect();
        let batches = (0..12)
            .map(|_| {
                let keys = shuffled(&said, &mut runner);
                let authorizations = shuffled(&said, &mut runner);
                let pairs = keys.into_iter().zip(authorizations);
                // Key and authorization at odds, so that both locks are taken crosswise.
                pairs
                    .map(|((key, _), (_, said))| keyed(intake(ledger.seller, &said), &key, 1))
                    .collect()
            })
            .collect();
        // Every answer is there, so none was a deadlock's victim.
        accept_at_once(&ledger, batches).await;
    }
    assert_eq!(ledger.count("payments", "true").await, 12 * 40);
    ledger.assert_journal_is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_waits_to_see_what_becomes_of_another() {
    let ledger = Ledger::open().await;
    let waiting = |store: Store, intake: Intake| {
        tokio::spawn(async move { store.accept(vec![intake]).await.unwrap().remove(0) })
    };
    for (end, expected) in [("rollback", true), ("commit", false)] {
        let said = authorization();
        let holder = hold_authorization(&ledger, &said, end).await;
        let task = waiting(ledger.handle(1), intake(ledger.seller, &said));
        ledger.until_waiting(1).await;
        holder.finish().await;
        let answer = task.await.unwrap();
        assert_eq!(matches!(answer, Acceptance::New(_)), expected, "{end}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_connection_is_lost_leaves_nothing() {
    let ledger = Ledger::open().await;
    let (taken, free) = (authorization(), authorization());
    let holder = hold_authorization(&ledger, &taken, "rollback").await;
    let store = ledger.handle(1);
    let batch = vec![
        keyed(intake(ledger.seller, &free), "order-1", 1),
        keyed(intake(ledger.seller, &taken), "order-2", 2),
    ];
    let task = tokio::spawn(async move { store.accept(batch).await });
    ledger.until_waiting(1).await;
    let victim = "datname = current_database() and wait_event_type = 'Lock'";
    ledger
        .rows(&format!("select pg_terminate_backend(pid) from pg_stat_activity where {victim}"))
        .await;

    let lost = task.await.unwrap().unwrap_err();
    assert!(lost.is_unavailable(), "{lost}");
    holder.finish().await;
    for table in ["payments", "payment_events", "idempotency_keys"] {
        assert_eq!(ledger.count(table, "true").await, 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_in_the_middle_leaves_nothing_and_no_lock() {
    let ledger = Ledger::open().await;
    let (taken, free) = (authorization(), authorization());
    let holder = hold_authorization(&ledger, &taken, "rollback").await;
    let store = ledger.handle(1);
    let batch = vec![
        keyed(intake(ledger.seller, &free), "order-1", 1),
        keyed(intake(ledger.seller, &taken), "order-2", 2),
    ];
    let task = tokio::spawn(async move { store.accept(batch).await });
    ledger.until_waiting(1).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    holder.finish().await;

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
    let mut holder = ledger.store().pool().begin().await.unwrap();
    let claim = format!(
        "insert into idempotency_keys (account_id, key, body_sha256, payment_id, created_at)
         values ('{}', 'order-2', sha256(''), '{}', now())",
        ledger.seller.uuid(),
        payment(&first).uuid(),
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(claim)).execute(&mut *holder).await.unwrap();
    let store = ledger.handle(1);
    let batch = ["order-1", "order-2"].map(|key| Intake {
        accepted_at: later(60),
        ..keyed(intake(ledger.seller, &said), key, 1)
    });
    let task = tokio::spawn(async move { store.accept(batch.to_vec()).await });
    ledger.until_waiting(1).await;
    assert_eq!(ledger.store().forget_idempotency_keys(later(1), 10).await.unwrap(), 1);
    holder.rollback().await.unwrap();

    let answers = task.await.unwrap().unwrap();
    for answer in &answers {
        assert!(matches!(answer, Acceptance::Existing(p) if p.id == payment(&first)), "{answer:?}");
    }
    assert_eq!(ledger.count("idempotency_keys", "true").await, 2);
}

/// A transaction that has written a payment of this authorization and not ended.
struct Holder {
    transaction: sqlx::PgTransaction<'static>,
    end: &'static str,
}

async fn hold_authorization(
    ledger: &Ledger,
    said: &domain::Authorization,
    end: &'static str,
) -> Holder {
    let mut transaction = ledger.store().pool().begin().await.unwrap();
    let insert = format!(
        "insert into payments (id, account_id, chain_id, asset, payer, nonce, pay_to, amount,
             valid_after, valid_before, signature, x402_version, finality, request_id, created_at,
             updated_at, due_at, version, state)
         values ('{}', '{}', {}, '\\x{:x}', '\\x{:x}', '\\x{:x}', '\\x{:x}', 1, 0, 1, '\\x07', 2,
             'safe', 'req', now(), now(), now(), 1, 'accepted')",
        intake(ledger.seller, said).id.uuid(),
        ledger.seller.uuid(),
        said.chain.get(),
        said.asset,
        said.payer,
        said.nonce,
        said.pay_to,
    );
    let insert = sqlx::raw_sql(sqlx::AssertSqlSafe(insert));
    insert.execute(&mut *transaction).await.unwrap();
    Holder { transaction, end }
}

impl Holder {
    async fn finish(self) {
        match self.end {
            "commit" => self.transaction.commit().await.unwrap(),
            _ => self.transaction.rollback().await.unwrap(),
        }
    }
}
