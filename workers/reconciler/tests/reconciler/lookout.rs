//! The regular audit: made by one at a time, and by another when that one dies.

use std::time::Duration;

use reconciler::audit::Auditor;
use sqlx::Row;
use store::Store;
use testkit::{Anvil, Fate, FaultyNode, eventually};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::audit::Books;
use crate::scene::SOON;

/// What is audited again and again while a test waits.
const OFTEN: Duration = Duration::from_secs(1);

/// What is audited once while a test waits.
const RARELY: Duration = Duration::from_secs(3_600);

impl Books {
    fn auditor(&self, url: &str, interval: Duration) -> Auditor {
        // Its own connections, as another process has.
        let store = Store::connect(&self.database.url, 4, SOON).unwrap();
        Auditor { store, networks: vec![self.network(url)], interval, blocks: 7_200 }
    }

    fn start(&self, url: &str, interval: Duration) -> (CancellationToken, JoinHandle<()>) {
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(self.auditor(url, interval).run(shutdown.clone()));
        (shutdown, task)
    }

    async fn count(&self, query: &'static str) -> i64 {
        let rows = sqlx::raw_sql(query).fetch_one(self.database.store.pool()).await;
        rows.unwrap().get(0)
    }

    async fn wait_for(&self, query: &'static str, least: i64) {
        eventually(SOON, || async { (self.count(query).await >= least).then_some(()) }).await;
    }
}

const ALL: &str = "select count(*) from audit_runs";
const FINISHED: &str = "select count(*) from audit_runs where finished_at is not null";
const HELD: &str = "select count(*) from audit_runs where lease_until > now()";
const GIVEN_BACK: &str =
    "select count(*) from audit_runs where finished_at is null and lease_until <= now()";

#[tokio::test]
async fn ledger_and_chain_are_compared_regularly_and_what_differs_is_recorded() {
    let books = Books::open().await;
    let payment = books.settled().await;
    books.anvil.mine(3).await;

    let (shutdown, task) = books.start(&books.anvil.url(), OFTEN);
    books.wait_for(FINISHED, 1).await;
    assert_eq!(books.count("select sum(differences)::bigint from audit_runs").await, 0);
    books.tamper(&payment, "log_index = log_index + 1").await;

    books.wait_for("select count(*) from audit_runs where differences = 1", 1).await;
    let last = books.database.store.last_audit(Anvil::CHAIN).await.unwrap().unwrap();
    assert_eq!(last.to, books.newest_final().await);
    shutdown.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn several_reconcilers_make_one_audit() {
    let books = Books::open().await;
    books.settled().await;
    books.anvil.mine(3).await;

    let running: Vec<_> = (0..4).map(|_| books.start(&books.anvil.url(), RARELY)).collect();
    books.wait_for(FINISHED, 1).await;
    for (shutdown, task) in running {
        shutdown.cancel();
        task.await.unwrap();
    }

    assert_eq!(books.count(ALL).await, 1);
    assert_eq!(books.count("select payments from audit_runs").await, 1);
}

#[tokio::test]
async fn an_audit_whose_maker_died_is_made_by_another() {
    let books = Books::open().await;
    books.settled().await;
    books.anvil.mine(3).await;
    let silent = FaultyNode::before(books.anvil.url()).await;
    silent.obey(|_, _| Fate::Ignored);
    let (_shutdown, task) = books.start(&silent.url(), OFTEN);
    books.wait_for(HELD, 1).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());

    let (_shutdown, task) = books.start(&books.anvil.url(), OFTEN);
    assert_eq!(books.count(FINISHED).await, 0);
    books.sql("update audit_runs set lease_until = now()").await;

    books.wait_for(FINISHED, 1).await;
    task.abort();
}

#[tokio::test]
async fn a_process_that_stops_gives_its_audit_back() {
    let books = Books::open().await;
    let silent = FaultyNode::before(books.anvil.url()).await;
    silent.obey(|_, _| Fate::Ignored);
    let (shutdown, task) = books.start(&silent.url(), RARELY);
    books.wait_for(HELD, 1).await;

    shutdown.cancel();
    task.await.unwrap();

    assert_eq!(books.count(GIVEN_BACK).await, 1);
}

#[tokio::test]
async fn an_audit_that_a_node_kept_from_ending_is_finished_when_it_answers_again() {
    let books = Books::open().await;
    books.settled().await;
    books.anvil.mine(3).await;
    let node = FaultyNode::before(books.anvil.url()).await;
    node.obey(|_, _| Fate::Lost);
    let (_shutdown, task) = books.start(&node.url(), OFTEN);
    books.wait_for(GIVEN_BACK, 1).await;

    node.behave();

    books.wait_for(FINISHED, 1).await;
    assert_eq!(books.count("select min(payments) from audit_runs").await, 1);
    task.abort();
}
