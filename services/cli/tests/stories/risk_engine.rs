//! The risk worker, told to rely on an engine.

use std::time::Duration;

use tokio::process::Command;

/// How long a process may take to say that it cannot start.
const LIMIT: Duration = Duration::from_secs(40);

#[tokio::test]
async fn a_risk_worker_does_not_start_when_it_would_not_ask_the_engine_it_is_given() {
    let start = Command::new(env!("CARGO_BIN_EXE_quittance"))
        .args(["worker", "risk"])
        .env_clear()
        .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing")
        .env("REDIS_URL", "redis://127.0.0.1:1")
        .env("QUITTANCE_METRICS__LISTEN", "127.0.0.1:0")
        .env("RISK_ENGINE_URL", "http://127.0.0.1:1")
        .kill_on_drop(true)
        .output();
    let ended = tokio::time::timeout(LIMIT, start).await.expect("it ends").unwrap();
    assert!(!ended.status.success());
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("cannot ask the engine of risk.engine"), "{said}");
}
