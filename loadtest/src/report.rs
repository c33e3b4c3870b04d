//! What was found out: for programs and for people.

use std::fmt::Write;
use std::path::Path;

use comfy_table::Table;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::scenario::Answer;

/// What all of it ran on.
#[derive(Debug, Serialize)]
struct Machine {
    cores: usize,
    processor: String,
    memory_mib: u64,
}

impl Machine {
    fn this() -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let known = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = known.lines().find_map(|line| line.strip_prefix("model name"));
        let processor = name.map_or("", |name| name.trim_start_matches([' ', '\t', ':']));
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = memory.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
        let memory_mib = kib.unwrap_or_default() / 1_024;
        Self { cores, processor: processor.to_owned(), memory_mib }
    }
}

/// Writes `report.json` and `report.md` into the folder, and says how many promises were broken.
#[expect(clippy::print_stdout, reason = "the figures are what it was started for")]
pub(crate) fn publish(answers: &[(&'static str, Answer)], folder: &Path) -> usize {
    let violations: Vec<String> = answers
        .iter()
        .flat_map(|(name, answer)| answer.violations.iter().map(move |it| format!("{name}: {it}")))
        .collect();
    let scenarios: Map<String, Value> =
        answers.iter().map(|(name, answer)| ((*name).to_owned(), answer.figures.clone())).collect();
    let report = json!({
        "machine": Machine::this(),
        "scenarios": scenarios,
        "violations": violations.len(),
    });
    std::fs::create_dir_all(folder).unwrap();
    let text = serde_json::to_string_pretty(&report).unwrap();
    std::fs::write(folder.join("report.json"), text).unwrap();
    std::fs::write(folder.join("report.md"), markdown(&report, &violations)).unwrap();
    println!("{}", table(&scenarios));
    for violation in &violations {
        println!("broken: {violation}");
    }
    violations.len()
}

fn table(scenarios: &Map<String, Value>) -> Table {
    let mut table = Table::new();
    table.set_header(["", "figure", "value"]);
    for (name, figures) in scenarios {
        for (figure, value) in figures.as_object().into_iter().flatten() {
            table.add_row([name.as_str(), figure, &value.to_string()]);
        }
    }
    table
}

fn markdown(report: &Value, violations: &[String]) -> String {
    let mut text = String::from("# What the pipeline does on this machine\n\n");
    let machine = &report["machine"];
    let _ = writeln!(
        text,
        "{} cores of {}, {} MiB of memory, everything on it: load generator, PostgreSQL, Redis, chain.",
        machine["cores"],
        machine["processor"].as_str().unwrap_or_default(),
        machine["memory_mib"],
    );
    for (name, figures) in report["scenarios"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "\n## {name}\n\n| figure | value |\n|---|---|");
        for (figure, value) in figures.as_object().into_iter().flatten() {
            let _ = writeln!(text, "| {figure} | {value} |");
        }
    }
    let _ = writeln!(text, "\n## Promises that were broken\n");
    match violations {
        [] => text.push_str("None.\n"),
        some => some.iter().for_each(|it| {
            let _ = writeln!(text, "- {it}");
        }),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_promise_is_counted_and_told() {
        let folder = tempfile::TempDir::new().unwrap();
        let fine = Answer { figures: json!({ "rate_per_s": 7 }), violations: Vec::new() };
        let bad = Answer { figures: json!({}), violations: vec!["1 payment is lost".to_owned()] };

        assert_eq!(publish(&[("accept", fine), ("settle", bad)], folder.path()), 1);

        let report = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["violations"], 1);
        assert_eq!(report["scenarios"]["accept"]["rate_per_s"], 7);
        let text = std::fs::read_to_string(folder.path().join("report.md")).unwrap();
        assert!(
            text.contains("| rate_per_s | 7 |") && text.contains("- settle: 1 payment is lost")
        );
    }
}
