//! What every connection is set to, and how an outage is told from a defect.

use std::time::Duration;

use sqlx::Row;
use store::{Store, StoreError};
use testkit::eventually;

use crate::ledger::{Ledger, NOW, PATIENCE};

async fn shown(store: &Store, setting: &str) -> String {
    let show = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("show {setting}")));
    show.fetch_one(store.pool()).await.unwrap().get(0)
}

#[tokio::test]
async fn what_is_answered_is_on_disk_whatever_the_servers_default() {
    let ledger = Ledger::open().await;
    for (default, expected) in [("off", "on"), ("on", "on"), ("remote_apply", "remote_apply")] {
        let database = "do $$ begin execute format('alter database %I set synchronous_commit = ";
        let alter = format!("{database}{default}', current_database()); end $$");
        ledger.sql(&alter).await.unwrap();
        let store = ledger.handle(1);
        assert_eq!(shown(&store, "synchronous_commit").await, expected, "{default}");
    }
}

#[tokio::test]
async fn statements_see_what_was_committed_before_them_whatever_the_servers_default() {
    let ledger = Ledger::open().await;
    ledger
        .sql(
            "do $$ begin execute format('alter database %I set default_transaction_isolation =
                 ''repeatable read''', current_database()); end $$",
        )
        .await
        .unwrap();
    assert_eq!(shown(&ledger.handle(1), "transaction_isolation").await, "read committed");
}

#[tokio::test]
async fn rows_are_looked_up_whatever_the_servers_default() {
    let ledger = Ledger::open().await;
    for setting in ["enable_seqscan", "jit"] {
        let alter = format!(
            "do $$ begin execute format('alter database %I set {setting} = on', \
             current_database()); end $$"
        );
        ledger.sql(&alter).await.unwrap();
        assert_eq!(shown(&ledger.handle(1), setting).await, "off", "{setting}");
    }
}

#[tokio::test]
async fn a_transaction_that_was_ended_for_standing_still_can_be_tried_again() {
    let ledger = Ledger::open().await;
    let stopped = ledger.handle(1);
    let mut transaction = stopped.pool().begin().await.unwrap();
    let impatient = "set local idle_in_transaction_session_timeout = 1";
    sqlx::raw_sql(impatient).execute(&mut *transaction).await.unwrap();
    eventually(PATIENCE, || async {
        let idle = "datname = current_database() and state = 'idle in transaction'";
        (ledger.count("pg_stat_activity", idle).await == 0).then_some(())
    })
    .await;

    let ended = sqlx::raw_sql("select 1").execute(&mut *transaction).await.unwrap_err();
    let ended = StoreError::from(ended);
    assert!(ended.is_unavailable(), "{ended}");
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_unavailable_and_not_a_defect() {
    let ledger = Ledger::open().await;
    ledger.sql("create table probe (one int)").await.unwrap();
    let write = "begin read only; insert into probe values (1)";
    let refused = StoreError::from(ledger.sql(write).await.unwrap_err());
    assert!(refused.is_unavailable(), "{refused}");
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable() {
    let nowhere = Store::connect("postgres://127.0.0.1:1/x", 1, Duration::from_secs(2)).unwrap();
    let away = nowhere.ping().await.unwrap_err();
    assert!(away.is_unavailable(), "{away}");

    let ledger = Ledger::open().await;
    ledger.store().ping().await.unwrap();
    ledger.store().close().await;
    let closed = ledger.store().backlog(1, NOW).await.unwrap_err();
    assert!(closed.is_unavailable(), "{closed}");
}

#[tokio::test]
async fn a_url_of_something_else_is_refused_at_once() {
    assert!(Store::connect("redis://127.0.0.1/", 1, PATIENCE).is_err());
}
