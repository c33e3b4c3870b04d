//! `quittance key`, as operators use it, and what running processes make of it.

use std::process::{Command, Output};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use testkit::{Database, eventually};

use crate::tenants::Apis;

fn run(database: &Database, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quittance"))
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", &database.url)
        .env("REDIS_URL", "redis://127.0.0.1:1")
        .output()
        .unwrap()
}

fn printed(database: &Database, arguments: &[&str]) -> String {
    let output = run(database, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn made(database: &Database, arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(database, arguments)).unwrap()
}

fn listed(database: &Database, id: &Value) -> Value {
    let lines = printed(database, &["key", "list"]);
    let mut keys = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    keys.find(|key| key["id"] == *id).unwrap()
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap()
}

#[tokio::test]
async fn a_key_is_made_with_its_terms_and_shown_once() {
    let database = Database::create().await;
    let arguments = ["key", "create", "--scope", "payments:read", "--scope", "webhooks"];
    let terms = ["--expires-in", "90d", "--limit", "250"];
    let key = made(&database, &[&arguments[..], &terms].concat());
    let shown = listed(&database, &key["id"]);
    assert_eq!(shown["scopes"], serde_json::json!(["payments:read", "webhooks"]));
    assert_eq!(
        (&shown["expires_at"], &shown["requests_per_second"]),
        (&key["expires_at"], &250.into())
    );
    assert_eq!((&shown["last_used_at"], &shown["replaces"]), (&Value::Null, &Value::Null));
    let all = printed(&database, &["api-key", "list"]);
    assert!(!all.contains(text(&key, "key")), "the key is shown again");

    printed(&database, &["key", "limit", text(&key, "account"), "default"]);
    assert_eq!(listed(&database, &key["id"])["requests_per_second"], Value::Null);
    for wrong in [
        &["key", "limit", text(&key, "account"), "0"][..],
        &["key", "limit", "acct_01jnd9d4kgfexr4qk1v4q2k9bp", "5"],
        &["key", "create", "--expires-in", "soon"],
        &["key", "rotate", "key_01jnd9d4kgfexr4qk1v4q2k9bp"],
        &["key", "revoke", "key_01jnd9d4kgfexr4qk1v4q2k9bp"],
    ] {
        assert!(!run(&database, wrong).status.success(), "{wrong:?}");
    }
}

#[tokio::test]
async fn both_keys_are_good_while_they_overlap_and_one_key_has_one_successor() {
    let apis = Apis::start(&[]).await;
    let database = &apis.database;
    let old = made(database, &["key", "create", "--scope", "payments:read"]);
    let new = made(database, &["key", "rotate", text(&old, "id"), "--overlap", "1h"]);
    assert_eq!((&new["account"], &new["replaces"]), (&old["account"], &old["id"]));
    assert_eq!(new["scopes"], old["scopes"]);
    assert_eq!(listed(database, &old["id"])["expires_at"], new["replaced_until"]);
    for key in [&old, &new] {
        assert_eq!(status(&apis.results, key, &apis).await, (200, String::new()));
    }
    let again = run(database, &["key", "rotate", text(&old, "id")]);
    let words = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && words.contains(text(&new, "id")), "{words}");

    // Without an overlap the old one ends at once.
    let third = made(database, &["key", "rotate", text(&new, "id"), "--overlap", "0s"]);
    refused_by_all(&apis, &new, "key_expired").await;
    assert_eq!(status(&apis.results, &third, &apis).await.0, 200);
    eventually(Duration::from_secs(30), || async {
        (listed(database, &third["id"])["last_used_at"] != Value::Null).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_revoked_key_is_soon_refused_by_every_process() {
    let apis = Apis::start(&[]).await;
    let both = ["key", "create", "--scope", "payments:read", "--scope", "payments:write"];
    let key = made(&apis.database, &both);
    assert_eq!(status(&apis.results, &key, &apis).await.0, 200);
    assert_eq!(status(&apis.ingress, &key, &apis).await.0, 400);
    printed(&apis.database, &["key", "revoke", text(&key, "id")]);
    refused_by_all(&apis, &key, "key_revoked").await;
}

/// The status and the problem's code of one process for one key.
async fn status(base: &str, key: &Value, apis: &Apis) -> (u16, String) {
    let method = if base == apis.ingress { Method::POST } else { Method::GET };
    let request = apis.request(method, &format!("{base}/v1/payments"));
    let request = request.bearer_auth(text(key, "key")).header("content-type", "application/json");
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

async fn refused_by_all(apis: &Apis, key: &Value, code: &str) {
    for base in [&apis.ingress, &apis.results] {
        eventually(Duration::from_secs(30), || async {
            (status(base, key, apis).await == (401, code.to_owned())).then_some(())
        })
        .await;
    }
}
