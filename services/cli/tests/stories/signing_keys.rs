//! `quittance signing-key`, as operators use it.

use std::process::Command;

use serde_json::Value;
use testkit::Database;

fn lines(database: &Database, command: &str) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_quittance"))
        .args(["signing-key", command])
        .env_clear()
        .env("DATABASE_URL", &database.url)
        .env("REDIS_URL", "redis://127.0.0.1:1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Each key with what it does.
fn listed(database: &Database) -> Vec<(String, String)> {
    let text = |line: &Value, member: &str| line[member].as_str().unwrap().to_owned();
    let keys = lines(database, "list");
    keys.iter().map(|line| (text(line, "kid"), text(line, "status"))).collect()
}

#[tokio::test]
async fn a_rotation_adds_a_key_that_signs_when_its_hour_is_over() {
    let database = Database::create().await;
    let [(first, status)] = &listed(&database)[..] else { panic!("one key was expected") };
    assert_eq!(status, "signs");

    let added = lines(&database, "rotate").pop().unwrap();
    let second = added["kid"].as_str().unwrap();
    let expect = |statuses: [&str; 2]| {
        let [one, other] = statuses.map(str::to_owned);
        assert_eq!(listed(&database), [(first.clone(), one), (second.to_owned(), other)]);
    };
    expect(["signs", "waiting"]);
    let hour_over = "update signing_keys set active_from = now() where active_from > now()";
    sqlx::raw_sql(hour_over).execute(database.store.pool()).await.unwrap();
    expect(["verifies", "signs"]);
}

#[tokio::test]
async fn nothing_of_a_seed_is_printed() {
    let database = Database::create().await;
    let mut printed = lines(&database, "rotate");
    printed.extend(lines(&database, "list"));
    for line in printed {
        let members: Vec<_> = line.as_object().unwrap().keys().collect();
        assert_eq!(members, ["active_from", "created_at", "kid", "status"]);
    }
}
