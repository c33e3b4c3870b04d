//! What was found out: for programs and for people.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::page::{page, table, told};
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

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cores, processor, memory_mib } = self;
        write!(f, "{cores} cores of {processor}, {memory_mib} MiB of memory, everything on it: ")?;
        f.write_str("load generator, PostgreSQL, Redis, chain.")
    }
}

/// Writes `report.json`, `report.md` and `report.html` into the folder: what is known by now.
pub(crate) fn publish(answers: &[(&'static str, Answer)], folder: &Path) {
    let (scenarios, violations) = (scenarios(answers), violations(answers));
    let machine = Machine::this();
    let report = json!({
        "machine": machine,
        "scenarios": scenarios,
        "violations": violations.len(),
    });
    std::fs::create_dir_all(folder).unwrap();
    let text = serde_json::to_string_pretty(&report).unwrap();
    std::fs::write(folder.join("report.json"), text).unwrap();
    std::fs::write(folder.join("report.md"), markdown(&machine, &report, &violations)).unwrap();
    let html = page(&machine.to_string(), &scenarios, &violations);
    std::fs::write(folder.join("report.html"), html).unwrap();
}

/// Prints what was found out, and says how many promises were broken.
#[expect(clippy::print_stdout, reason = "the figures are what it was started for")]
pub(crate) fn conclude(answers: &[(&'static str, Answer)]) -> usize {
    println!("{}", table(&scenarios(answers)));
    let violations = violations(answers);
    for violation in &violations {
        println!("broken: {violation}");
    }
    violations.len()
}

fn scenarios(answers: &[(&'static str, Answer)]) -> Map<String, Value> {
    answers.iter().map(|(name, answer)| ((*name).to_owned(), answer.figures.clone())).collect()
}

fn violations(answers: &[(&'static str, Answer)]) -> Vec<String> {
    let told = |(name, answer): &(&'static str, Answer)| {
        let name = *name;
        answer.violations.iter().map(|it| format!("{name}: {it}")).collect::<Vec<_>>()
    };
    answers.iter().flat_map(told).collect()
}

fn markdown(machine: &Machine, report: &Value, violations: &[String]) -> String {
    let mut text = String::from("# What the pipeline does on this machine\n\n");
    let _ = writeln!(text, "{machine}");
    for (name, figures) in report["scenarios"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "\n## {name}\n\n| figure | value |\n|---|---|");
        for (figure, value) in told(figures) {
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

    fn report_in(folder: &Path) -> Value {
        let report = std::fs::read_to_string(folder.join("report.json")).unwrap();
        serde_json::from_str(&report).unwrap()
    }

    #[test]
    fn a_broken_promise_is_counted_and_told_after_the_scenario_that_broke_it() {
        let folder = tempfile::TempDir::new().unwrap();
        let fine = Answer { figures: json!({ "rate_per_s": 7 }), violations: Vec::new() };
        let bad = Answer { figures: json!({}), violations: vec!["1 payment is lost".to_owned()] };

        let mut answers = vec![("accept", fine)];

        publish(&answers, folder.path());
        let report = report_in(folder.path());
        assert_eq!(report["violations"], 0);
        assert_eq!(report["scenarios"]["accept"]["rate_per_s"], 7);

        answers.push(("settle", bad));
        publish(&answers, folder.path());
        assert_eq!(conclude(&answers), 1);
        let report = report_in(folder.path());
        assert_eq!(report["violations"], 1);
        assert_eq!(report["scenarios"]["accept"]["rate_per_s"], 7);
        let text = std::fs::read_to_string(folder.path().join("report.md")).unwrap();
        assert!(
            text.contains("| rate_per_s | 7 |") && text.contains("- settle: 1 payment is lost")
        );
    }
}
