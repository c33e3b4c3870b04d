//! Does the pipeline slow down when the ledger has grown?

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{Answer, Plan, accept, settle};
use crate::world::{ALL, World};

/// How many payments a ledger holds that has been in use for long.
const STORED: u64 = 5_000_000;

/// Payments a second at which the cost of one is compared: both ledgers must hold them with ease, since
/// batches grow with the rate, and a payment of a large batch costs less.
const EASY: u64 = 800;

/// The same questions to an empty ledger and to a full one.
pub(crate) async fn run(plan: &Plan) -> Answer {
    let stored = if plan.stored == 0 { STORED } else { plan.stored };
    let empty = measure(&Plan { stored: 0, logs: plan.logs.join("empty"), ..plan.clone() }).await;
    let full = measure(&Plan { stored, logs: plan.logs.join("full"), ..plan.clone() }).await;
    let both = |figure: fn(&Measured) -> &Value| [figure(&empty).clone(), figure(&full).clone()];
    let figures = json!({
        "accept_ratio": ratio(&both(|it| &it.accept["rate_per_s"])),
        "settle_ratio": ratio(&both(|it| &it.settle["rate_per_s"])),
        "cost_ratio": ratio(&both(|it| &it.easy["cpu_us_per_payment"]["total"])),
        "seeded": full.settle["seeded"],
        "accept": both(|it| &it.accept["rate_per_s"]),
        "accept_p99_ms": both(|it| &it.accept["p99_ms"]),
        "accept_cpu_us_per_payment": both(|it| &it.accept["cpu_us_per_payment"]),
        "settle": both(|it| &it.settle["rate_per_s"]),
        "settle_p50_ms": both(|it| &it.settle["settle_p50_ms"]),
        "easy": {
            "rate_per_s": EASY,
            "settle_p50_ms": both(|it| &it.easy["settle_p50_ms"]),
            "settle_p99_ms": both(|it| &it.easy["settle_p99_ms"]),
            "cpu_us_per_payment": both(|it| &it.easy["cpu_us_per_payment"]),
        },
    });
    Answer { figures, violations: [empty.violations, full.violations].concat() }
}

/// What one ledger does.
struct Measured {
    /// At a rate that it holds with ease.
    easy: Value,
    settle: Value,
    accept: Value,
    violations: Vec<String>,
}

async fn measure(plan: &Plan) -> Measured {
    let mut world = World::start(&ALL, plan, plan.signers).await;
    let mut accepted = HashSet::new();
    let at_ease = Plan { rate: Some(EASY), ..plan.clone() };
    let easy = settle::measure(&world, &at_ease, &mut accepted).await;
    let settle = settle::measure(&world, plan, &mut accepted).await;
    world.leave("ingress");
    let accept = accept::measure(&world, &Plan { rate: None, ..plan.clone() }).await;
    world.end().await;
    Measured {
        violations: [easy.violations, settle.violations, accept.violations].concat(),
        easy: easy.figures,
        settle: settle.figures,
        accept: accept.figures,
    }
}

/// A full ledger's figure as a part of an empty one's.
#[expect(clippy::float_arithmetic, reason = "figures for people; no amount is among them")]
fn ratio([empty, full]: &[Value; 2]) -> Option<f64> {
    Some(full.as_f64()? / empty.as_f64().filter(|empty| *empty > 0.0)?)
}
