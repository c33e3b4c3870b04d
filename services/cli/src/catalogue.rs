//! Every metric there is: what Prometheus is told of it, what the page says, and which roles show it.
//!
//! A process describes all of them when it starts; those that it has series of carry the help text. A story scrapes
//! every role and holds what it finds against this.

mod every;
mod metric;
mod services;
mod settling;
mod workers;

use std::io::Write;
use std::process::ExitCode;

use self::metric::{Metric, Shown};
use crate::failure::Failure;
use crate::role::Role;

/// What stands above the table.
const INTRODUCTION: &str = include_str!("catalogue/introduction.md");

/// All of them, in the order of the page.
fn all() -> impl Iterator<Item = &'static Metric> {
    [every::METRICS, services::METRICS, workers::METRICS, settling::METRICS].into_iter().flatten()
}

/// Gives every metric its help text. Call once, after the recorder is installed.
pub(crate) fn describe() {
    all().for_each(Metric::describe);
    metrics::gauge!("quittance_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
}

/// Prints the page of all metrics, or what tests and dashboards are held against.
pub(crate) fn print(json: bool) -> Result<ExitCode, Failure> {
    let text = if json { as_json() } else { page() };
    std::io::stdout().write_all(text.as_bytes()).map_err(Failure::Start)?;
    Ok(ExitCode::SUCCESS)
}

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for metric in all() {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let line = [
            format!("`{}`", metric.name),
            metric.kind.as_str().to_owned(),
            labels.join(", "),
            roles(metric).join(", "),
            metric.help.to_owned(),
        ];
        page.push_str(&format!("| {} |\n", line.join(" | ")));
    }
    page
}

fn as_json() -> String {
    let metrics: Vec<_> = all()
        .map(|metric| {
            serde_json::json!({
                "name": metric.name, "type": metric.kind.as_str(), "labels": metric.labels,
                "roles": roles(metric), "always": metric.shown == Shown::Always, "help": metric.help,
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::from(metrics))
}

fn roles(metric: &Metric) -> Vec<&'static str> {
    match metric.roles {
        every if every.len() == Role::ALL.len() => vec!["every"],
        some => some.iter().map(|role| role.service()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_metric_stands_once_and_has_a_sentence() {
        let mut seen = BTreeSet::new();
        for Metric { name, help, roles, .. } in all() {
            assert!(seen.insert(name), "{name} stands twice");
            assert!(help.len() > 10 && !help.contains(['|', '\n']), "{name}: {help}");
            assert!(!roles.is_empty(), "{name} is nobody's");
        }
    }

    /// Whatever has no end as a label makes as many series.
    #[test]
    fn no_label_has_values_without_an_end() {
        let known = [
            "asset",
            "cache",
            "change",
            "decision",
            "dependency",
            "fault",
            "kind",
            "method",
            "name",
            "network",
            "answer",
            "operation",
            "outcome",
            "reason",
            "result",
            "route",
            "signer",
            "state",
            "status",
            "stream",
            "url_name",
            "version",
        ];
        for metric in all() {
            for label in metric.labels {
                assert!(known.contains(label), "{label} of {}", metric.name);
            }
        }
    }
}
