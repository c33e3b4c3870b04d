//! `quittance denial`, as operators use it.

use std::process::{Command, Output};

use serde_json::Value;
use testkit::Database;

fn denial(database: &Database, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quittance"))
        .arg("denial")
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", &database.url)
        .env("REDIS_URL", "redis://127.0.0.1:1")
        .output()
        .unwrap()
}

/// What is denied, and why.
fn listed(database: &Database) -> Vec<(String, String)> {
    let output = denial(database, &["list"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let member = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    lines.map(|line| (member(&line, "denial"), member(&line, "reason"))).collect()
}

#[tokio::test]
async fn who_is_denied_is_listed_with_the_first_reason_until_that_is_taken_back() {
    let database = Database::create().await;
    let payer = format!("payer:0x{}", "Ab".repeat(20));
    let host = "host:*.shop.example";
    for (denied, reason) in [(&*payer, "sanctioned"), (host, "fraud"), (&*payer, "again")] {
        assert!(denial(&database, &["add", denied, "--reason", reason]).status.success());
    }
    let expected = [(host, "fraud"), (&payer.to_lowercase(), "sanctioned")];
    assert_eq!(listed(&database), expected.map(|(it, why)| (it.to_owned(), why.to_owned())));

    assert!(denial(&database, &["remove", host]).status.success());
    assert!(!denial(&database, &["remove", host]).status.success());
    assert_eq!(listed(&database).len(), 1);
}

#[tokio::test]
async fn nothing_is_denied_that_is_not_understood() {
    let database = Database::create().await;
    for arguments in [
        &["add", "payer:0x12", "--reason", "short"][..],
        &["add", "everybody", "--reason", "all"],
        &["add", "host:shop.example"],
        &["add", "host:shop.example", "--reason", " "],
    ] {
        assert_eq!(denial(&database, arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert!(listed(&database).is_empty());
}
