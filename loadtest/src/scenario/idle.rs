//! What does a pipeline cost that has nothing to do?

use std::collections::HashSet;

use serde_json::json;

use super::{Answer, Plan, warm_up};
use crate::check::violations;
use crate::world::{ALL, World, between};

/// A few payments first, so that everything has worked once.
pub(crate) async fn run(plan: &Plan) -> Answer {
    let world = World::start(&ALL, plan, plan.signers).await;
    let mut accepted = HashSet::new();
    warm_up(&world, plan, &mut accepted).await;
    world.drain().await;
    let violations = violations(&world, &accepted).await;
    let before = world.computed();
    tokio::time::sleep(plan.hold).await;
    let computed = between(&before, &world.computed());
    let mut percent_of_a_core = json!({});
    for (who, ms) in &computed {
        percent_of_a_core[*who] = json!(percent(*ms, plan));
    }
    let figures = json!({
        "cpu_percent": percent_of_a_core,
        "rpc_calls": world.calls().await.values().sum::<u64>(),
        "memory_mib": world.most_memory_mib(),
    });
    world.end().await;
    Answer { figures, violations }
}

/// Of one core, in per cent.
#[expect(clippy::float_arithmetic, reason = "figures for people; no amount is among them")]
fn percent(ms: u64, plan: &Plan) -> f64 {
    ms as f64 / plan.hold.as_secs_f64() / 10.0
}
