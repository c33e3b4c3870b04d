//! What a run found, for people and for programs.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use comfy_table::Table;
use serde_json::{Value, json};

use crate::audit::Findings;

/// Of a recovery that takes longer, it is said what took so long.
const SLOW: Duration = Duration::from_secs(25);

/// Everything that was seen of one scenario.
#[derive(Clone, Debug, Default)]
struct Row {
    runs: u64,
    payments: u64,
    lost: u64,
    doubled: u64,
    stuck: u64,
    /// The longest of all runs.
    recovery: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: BTreeMap<String, Row>,
}

impl Report {
    /// Adds a run; `recovery` is the time from the fault until everything had ended.
    pub(crate) fn add(
        &mut self,
        name: &str,
        payments: u64,
        findings: &Findings,
        recovery: Duration,
    ) {
        let row = self.rows.entry(name.to_owned()).or_default();
        row.runs += 1;
        row.payments += payments;
        row.lost += findings.lost;
        row.doubled += findings.doubled;
        row.stuck += findings.stuck;
        row.recovery = row.recovery.max(recovery);
        let verdict = if findings.is_clean() { "ok" } else { "WRONG" };
        say(&format!("{name}: {verdict} ({} ms)", recovery.as_millis()));
        findings.notes.iter().for_each(|note| say(&format!("  {note}")));
        if findings.is_clean() && recovery > SLOW {
            findings.last.iter().for_each(|last| say(&format!("  over last: {last}")));
        }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.rows.values().all(|row| row.lost == 0 && row.doubled == 0 && row.stuck == 0)
    }

    /// Prints the table.
    pub(crate) fn print(&self) {
        let mut table = Table::new();
        let head = ["point", "runs", "payments", "lost", "doubled", "stuck", "recovery ms"];
        table.set_header(head);
        for (name, row) in &self.rows {
            let counts = [row.runs, row.payments, row.lost, row.doubled, row.stuck];
            let cells = counts.iter().map(u64::to_string);
            let recovery = row.recovery.as_millis().to_string();
            table.add_row(std::iter::once(name.clone()).chain(cells).chain([recovery]));
        }
        say(&table.to_string());
    }

    /// Writes it as JSON.
    pub(crate) fn write(&self, file: &Path, seed: u64) {
        let points: Vec<Value> = self
            .rows
            .iter()
            .map(|(name, row)| {
                json!({
                    "name": name,
                    "runs": row.runs,
                    "payments": row.payments,
                    "lost": row.lost,
                    "doubled": row.doubled,
                    "stuck": row.stuck,
                    "recovery_ms": u64::try_from(row.recovery.as_millis()).unwrap(),
                })
            })
            .collect();
        let report = json!({"seed": seed, "points": points});
        std::fs::write(file, format!("{report:#}\n")).unwrap();
    }
}

/// Tells the person at the terminal.
pub(crate) fn say(line: &str) {
    // Whoever listened may have gone; the report is in its file as well.
    let _ = writeln!(std::io::stdout(), "{line}");
}
