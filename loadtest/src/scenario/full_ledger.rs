//! Does the pipeline slow down when the ledger has grown?

use serde_json::{Value, json};

use super::{Answer, Plan, accept, settle};

/// How many payments a ledger holds that has been in use for long.
const STORED: u64 = 5_000_000;

/// Both questions on an empty ledger, and again on a full one.
pub(crate) async fn run(plan: &Plan) -> Answer {
    let stored = if plan.stored == 0 { STORED } else { plan.stored };
    let plan = |stored, name| Plan { stored, logs: plan.logs.join(name), ..plan.clone() };
    let mut violations = Vec::new();
    let mut figures = |answer: Answer| {
        violations.extend(answer.violations);
        answer.figures
    };
    let empty_accept = figures(accept::run(&plan(0, "empty_accept")).await);
    let full_accept = figures(accept::run(&plan(stored, "full_accept")).await);
    let empty_settle = figures(settle::run(&plan(0, "empty_settle")).await);
    let full_settle = figures(settle::run(&plan(stored, "full_settle")).await);
    let figures = json!({
        "accept_ratio": ratio(&full_accept, &empty_accept),
        "settle_ratio": ratio(&full_settle, &empty_settle),
        "seeded": full_settle["seeded"],
        "accept": [rate(&empty_accept), rate(&full_accept)],
        "settle": [rate(&empty_settle), rate(&full_settle)],
        "accept_p99_ms": [empty_accept["p99_ms"], full_accept["p99_ms"]],
        "settle_p50_ms": [empty_settle["settle_p50_ms"], full_settle["settle_p50_ms"]],
        "settle_cpu_us_per_payment":
            [empty_settle["cpu_us_per_payment"], full_settle["cpu_us_per_payment"]],
    });
    Answer { figures, violations }
}

/// A full ledger's rate, as a part of an empty one's.
#[expect(clippy::float_arithmetic, reason = "figures for people; no amount is among them")]
fn ratio(full: &Value, empty: &Value) -> f64 {
    rate(full) as f64 / rate(empty).max(1) as f64
}

fn rate(figures: &Value) -> u64 {
    figures["rate_per_s"].as_u64().unwrap_or_default()
}
