//! What operators look at, asked of a real Prometheus that scrapes real processes.

use std::process::Command;

use serde_json::Value;
use testkit::eventually;
use x402::Version;

use crate::pipeline::{DEADLINE, Pipeline, ROLES};
use crate::prometheus::{Prometheus, checkout};

/// Each panel of a dashboard, with its expressions as Grafana fills them in.
fn panels(file: &str) -> Vec<(String, Vec<String>)> {
    let output = Command::new("node")
        .args(["ops/expressions.mjs", "panels", file])
        .current_dir(checkout("."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let panel = |line: &str| {
        let panel: Value = serde_json::from_str(line).unwrap();
        let expressions = panel["expressions"].as_array().unwrap().iter();
        let expressions = expressions.map(|it| it.as_str().unwrap().to_owned()).collect();
        (panel["title"].as_str().unwrap().to_owned(), expressions)
    };
    lines.lines().map(panel).collect()
}

/// What has data only where an engine is asked.
const OF_ENGINES: [&str; 1] = ["Risk engine"];

async fn scraped(pipeline: &Pipeline) -> Prometheus {
    let mut targets = Vec::new();
    for role in ROLES {
        let url = pipeline.operator(&role.join(" ")).await;
        targets.push(url.trim_start_matches("http://").to_owned());
    }
    let prometheus = Prometheus::scraping(&targets).await;
    eventually(DEADLINE, || async {
        let up = prometheus.ask("sum(up)").await;
        (up.first()?["value"][1] == "6").then_some(())
    })
    .await;
    prometheus
}

#[tokio::test]
async fn every_panel_of_every_dashboard_has_data_once_a_payment_was_settled() {
    let pipeline = Pipeline::start().await;
    let prometheus = scraped(&pipeline).await;
    let buyer = pipeline.buyer(100).await;
    let payment = pipeline.pay(&pipeline.sign(&buyer, 100).body(Version::V2)).await;
    pipeline.assert_settled_and_told(std::slice::from_ref(&payment)).await;

    let status = format!("{}/v1/payments/{payment}", pipeline.results().await);
    for entry in std::fs::read_dir(checkout("ops/grafana/dashboards")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        for (title, expressions) in panels(&file) {
            if OF_ENGINES.contains(&title.as_str()) {
                continue;
            }
            for expression in expressions {
                // Rates need two looks, and somebody who asks meanwhile.
                let has_data = eventually(2 * DEADLINE, || async {
                    pipeline.get(&status).await?;
                    let series = prometheus.ask(&expression).await;
                    series.iter().any(|it| it["value"][1] != "NaN").then_some(())
                });
                let found = tokio::time::timeout(DEADLINE, has_data).await;
                assert!(found.is_ok(), "{file}, {title}: no data for {expression}");
            }
        }
    }
    eventually(DEADLINE, || async {
        let volume = prometheus.ask("sum(x402_payment_volume_usds)").await;
        (volume.first()?["value"][1] == "100").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_healthy_pipeline_alarms_nobody_and_every_rule_can_be_evaluated() {
    let pipeline = Pipeline::start().await;
    let prometheus = scraped(&pipeline).await;
    let buyer = pipeline.buyer(100).await;
    let payment = pipeline.pay(&pipeline.sign(&buyer, 100).body(Version::V2)).await;
    pipeline.assert_settled_and_told(&[payment]).await;

    let rules = eventually(DEADLINE, || async {
        let answer = prometheus.get("rules").await;
        let groups = answer["data"]["groups"].as_array()?.clone();
        let rules: Vec<Value> =
            groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect();
        rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
    })
    .await;
    assert!(rules.len() > 20, "{}", rules.len());
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    let firing: Vec<Value> = prometheus
        .ask("ALERTS{alertstate=\"firing\"}")
        .await
        .into_iter()
        // Its signer has less than a chain of the world asks for.
        .filter(|alert| alert["metric"]["severity"] == "critical")
        .collect();
    assert!(firing.is_empty(), "{firing:?}");
}
