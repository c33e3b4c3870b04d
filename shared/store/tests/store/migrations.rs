//! The schema, and the query data that is committed beside it.

use std::path::{Path, PathBuf};

use futures::future::join_all;

use crate::ledger::Ledger;

/// The schema as text: every column, index and constraint.
const SCHEMA: &str = "select table_name || '.' || column_name || ' ' || data_type || ' '
             || is_nullable as line
         from information_schema.columns where table_schema = 'public'
     union all select indexdef from pg_indexes where schemaname = 'public'
     union all select conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
         from pg_constraint where connamespace = 'public'::regnamespace
     order by line";

async fn schema(ledger: &Ledger) -> Vec<String> {
    ledger.rows(SCHEMA).await.iter().map(|row| sqlx::Row::get(row, 0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_migrate_at_the_same_instant_make_one_schema() {
    let ledger = Ledger::open().await;
    let expected = schema(&ledger).await;
    ledger.sql("drop schema public cascade; create schema public").await.unwrap();
    assert!(schema(&ledger).await.is_empty());

    let processes = (0..6).map(|_| {
        let store = ledger.handle(2);
        tokio::spawn(async move { store.migrate().await })
    });
    for migrated in join_all(processes).await {
        migrated.unwrap().unwrap();
    }
    assert_eq!(schema(&ledger).await, expected);
    let applied = store::migration_checksums().count();
    let recorded = ledger.count("_sqlx_migrations", "success").await;
    assert_eq!(usize::try_from(recorded), Ok(applied));
}

#[tokio::test]
async fn migrating_again_changes_nothing_that_is_stored() {
    let ledger = Ledger::open().await;
    let payment = ledger.payment().await;
    ledger.store().migrate().await.unwrap();
    assert_eq!(ledger.reload(payment.id).await, payment);
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every Rust file of this crate's sources, one after the other.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &sources(&path);
        } else {
            text += &std::fs::read_to_string(path).unwrap();
        }
    }
    text
}

#[test]
fn every_file_of_query_data_belongs_to_a_query() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let mut files = 0_usize;
    for entry in std::fs::read_dir(workspace().join(".sqlx")).unwrap() {
        let path = entry.unwrap().path();
        let data: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let query = data["query"].as_str().unwrap();
        assert!(sources.contains(query), "no query uses {}: {query}", path.display());
        files += 1;
    }
    let queries = ["query!(", "query_as!(", "query_scalar!("]
        .map(|name| sources.matches(&format!("sqlx::{name}")).count());
    assert!(files > 0 && files <= queries.iter().sum(), "{files} files for {queries:?}");
}

#[test]
fn migrations_are_numbered_without_a_gap() {
    let mut names: Vec<String> = std::fs::read_dir(workspace().join("migrations"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "sql"))
        .collect();
    names.sort();
    for (number, name) in (1..).zip(&names) {
        assert!(name.starts_with(&format!("{number:04}_")), "{name}");
    }
    assert_eq!(names.len(), store::migration_checksums().count());
}
