//! What the processes measure: everything that the catalogue lists, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use x402::Version;

use crate::pipeline::{Pipeline, ROLES};
use crate::prometheus;

/// One metric as a process shows it.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    has_help: bool,
    labels: BTreeSet<String>,
    samples: usize,
}

/// Reads Prometheus' text format; fails at what is not.
fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, _) = help.split_once(' ').unwrap();
            families.entry(name.to_owned()).or_default().has_help = true;
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            kind.clone_into(&mut families.entry(name.to_owned()).or_default().kind);
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let family = families.get_mut(whole(name)).unwrap_or_else(|| panic!("no type: {line}"));
            family.samples += 1;
            // No value of ours holds what labels are put between.
            let labels =
                labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty());
            family.labels.extend(labels.map(|label| label.split_once('=').unwrap().0.to_owned()));
        }
    }
    families
}

/// The metric that a series is part of.
fn whole(name: &str) -> &str {
    let histograms = ["_bucket", "_sum", "_count"].into_iter();
    histograms.filter_map(|end| name.strip_suffix(end)).next().unwrap_or(name)
}

async fn catalogue(pipeline: &Pipeline) -> Vec<Value> {
    let (ended, printed) = pipeline.command(&["metrics", "--json"]).await;
    assert!(ended.success());
    serde_json::from_str::<Value>(&printed).unwrap().as_array().unwrap().clone()
}

fn texts(list: &Value) -> BTreeSet<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// Holds what a role shows against what it should.
fn assert_agree(role: &str, shown: &BTreeMap<String, Family>, listed: &[Value]) {
    let mut of_role = BTreeMap::new();
    for metric in listed {
        let roles = texts(&metric["roles"]);
        if roles.contains("every") || roles.contains(role) {
            of_role.insert(metric["name"].as_str().unwrap(), metric);
        }
    }
    for (name, metric) in &of_role {
        let is_shown = shown.contains_key(*name);
        assert!(is_shown || metric["always"] == false, "{role} does not show {name}");
    }
    for (name, family) in shown {
        let listed = of_role.get(name.as_str());
        let metric = listed.unwrap_or_else(|| panic!("{role} shows {name}, which is not listed"));
        assert_eq!(metric["type"], family.kind.as_str(), "{name}");
        assert!(family.has_help && family.samples > 0, "{role} says nothing of {name}: {family:?}");
        let mut known = texts(&metric["labels"]);
        known.extend((family.kind == "histogram").then_some("le"));
        let labels: BTreeSet<&str> = family.labels.iter().map(String::as_str).collect();
        assert!(labels.is_subset(&known), "{name} of {role} has {labels:?}");
    }
}

/// What Prometheus' own linter says of a page, without what is known.
fn lint(page: &str) -> Vec<String> {
    /// Names that operators' dashboards ask for, whatever the conventions say.
    const GIVEN: [&str; 5] = [
        "payment_settlements_failed ",
        "x402_failed_settlements ",
        "x402_total_payments ",
        "x402_payment_volume_usds ",
        "audit_differences ",
    ];
    let mut promtool = Command::new(prometheus::programs().join("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), page.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let said = [said.stdout, said.stderr].concat();
    let lines = String::from_utf8(said).unwrap();
    let lines = lines.lines().filter(|line| !GIVEN.iter().any(|name| line.starts_with(name)));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn every_role_shows_every_metric_of_its_own_and_nothing_unlisted() {
    let pipeline = Pipeline::start().await;
    let listed = catalogue(&pipeline).await;
    let buyer = pipeline.buyer(100).await;
    let payment = pipeline.pay(&pipeline.sign(&buyer, 100).body(Version::V2)).await;
    pipeline.assert_settled_and_told(&[payment]).await;

    for role in ROLES {
        let url = format!("{}/metrics", pipeline.operator(&role.join(" ")).await);
        let page = pipeline.text(&url).await.unwrap();
        assert_agree(role.last().unwrap(), &families(&page), &listed);
        assert_eq!(lint(&page), Vec::<String>::new(), "{role:?}");
    }
}

#[tokio::test]
async fn failures_can_be_watched_before_the_first() {
    let mut pipeline = Pipeline::idle().await;
    for role in ROLES {
        pipeline.start_role(role);
    }
    let network = pipeline.anvil.chain().to_string();
    for (role, series) in [
        ("ingress", "payment_requests_total 0".to_owned()),
        ("ingress", "x402_total_payments 0".to_owned()),
        ("ingress", r#"payment_verifications_total{result="invalid"} 0"#.to_owned()),
        ("results", r#"security_events_total{kind="forbidden"} 0"#.to_owned()),
        ("results", r#"cache_misses_total{cache="payments"} 0"#.to_owned()),
        ("worker risk", r#"risk_evaluation_seconds_bucket{le="2"} 0"#.to_owned()),
        ("worker risk", r#"payment_failed_total{fault="payer"} 0"#.to_owned()),
        ("worker settlement", format!(r#"payment_success_total{{network="{network}"}} 0"#)),
        ("worker notifier", r#"webhook_deliveries_total{outcome="timeout"} 0"#.to_owned()),
        ("worker reconciler", r#"queue_dead_entries{stream="notify"} 0"#.to_owned()),
    ] {
        let url = format!("{}/metrics", pipeline.operator(role).await);
        testkit::eventually(crate::pipeline::DEADLINE, || async {
            pipeline.text(&url).await?.lines().any(|line| line == series).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn the_page_of_metrics_is_what_the_program_prints() {
    let pipeline = Pipeline::idle().await;
    let (ended, printed) = pipeline.command(&["metrics"]).await;
    assert!(ended.success());
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page == printed, "docs/metrics.md is old: quittance metrics > docs/metrics.md");
}
