//! `quittance audit`: its exit code is the answer.

use serde_json::Value;
use sqlx::AssertSqlSafe;
use testkit::eventually;
use x402::Version;

use crate::pipeline::{DEADLINE, Pipeline};

/// What `quittance audit` printed, one value a line, and whether it succeeded.
struct Answer {
    equal: bool,
    lines: Vec<Value>,
}

impl Answer {
    fn summary(&self) -> &Value {
        self.lines.last().unwrap()
    }
}

impl Pipeline {
    async fn audit(&self, arguments: &[&str]) -> Answer {
        let (status, output) = self.command(&[&["audit"], arguments].concat()).await;
        let lines = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Answer { equal: status.success(), lines }
    }

    async fn tamper(&self, set: &str) {
        let statement = sqlx::raw_sql(AssertSqlSafe(format!("update payments set {set}")));
        let done = statement.execute(self.database.store.pool()).await.unwrap();
        assert!(done.rows_affected() > 0, "nothing was changed");
    }

    async fn reconciler_shows(&self, series: &str, shown: impl Fn(&str) -> bool) {
        let url = format!("{}/metrics", self.operator("worker reconciler").await);
        eventually(DEADLINE, || async {
            let text = self.text(&url).await?;
            let value = text.lines().find_map(|line| line.strip_prefix(series))?;
            shown(value.trim()).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_audit_succeeds_only_while_ledger_and_chain_say_the_same() {
    let mut pipeline = Pipeline::start().await;
    let buyer = pipeline.buyer(200).await;
    let signed: Vec<_> = (0..2).map(|_| pipeline.sign(&buyer, 100)).collect();
    let mut payments = Vec::new();
    for signed in &signed {
        payments.push(pipeline.pay(&signed.body(Version::V2)).await);
    }
    pipeline.assert_settled_and_told(&payments).await;

    let answer = pipeline.audit(&["--from", "0"]).await;
    assert!(answer.equal, "{:?}", answer.lines);
    assert_eq!(answer.lines.len(), 1, "{:?}", answer.lines);
    assert_eq!(answer.summary()["outcome"], "equal");
    assert_eq!(answer.summary()["payments"], 2);
    assert_eq!(answer.summary()["uses"], 2);

    // Beyond the final blocks nothing is compared, and the summary says so.
    let answer = pipeline.audit(&["--from", "0", "--to", "1000000"]).await;
    assert!(answer.equal && answer.summary()["note"].is_string(), "{:?}", answer.lines);
    let answer = pipeline.audit(&["--from", "1000000"]).await;
    assert!(!answer.equal);
    assert_eq!(answer.summary()["outcome"], "unfinished");

    pipeline
        .reconciler_shows("audit_last_success_timestamp_seconds{network=\"eip155:84532\"}", |at| {
            at.parse::<f64>().is_ok_and(|at| at > 0.0)
        })
        .await;
    let wrong = "audit_differences{network=\"eip155:84532\",kind=\"wrong_log\"}";
    pipeline.reconciler_shows(wrong, |count| count == "0").await;
    pipeline.tamper("log_index = log_index + 1").await;

    let answer = pipeline.audit(&["--network", "eip155:84532"]).await;
    assert!(!answer.equal);
    let kinds: Vec<_> = answer.lines.iter().filter_map(|line| line["kind"].as_str()).collect();
    assert_eq!(kinds, ["wrong_log", "wrong_log"]);
    assert_eq!(answer.summary()["outcome"], "different");
    pipeline.reconciler_shows(wrong, |count| count != "0").await;

    pipeline.anvil.kill().await;
    let answer = pipeline.audit(&["--from", "0"]).await;
    assert!(!answer.equal);
    assert_eq!(answer.summary()["outcome"], "unfinished");
    assert!(answer.summary()["reason"].is_string(), "{:?}", answer.lines);
}

#[tokio::test]
async fn a_network_that_is_not_configured_cannot_be_audited() {
    let pipeline = Pipeline::idle().await;
    let answer = pipeline.audit(&["--network", "eip155:1"]).await;
    assert!(!answer.equal && answer.lines.is_empty(), "{:?}", answer.lines);
}
