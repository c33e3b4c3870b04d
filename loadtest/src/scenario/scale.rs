//! Does the pipeline settle more with more processes of each worker?

use serde_json::{Value, json};

use super::{Answer, Plan, settle};

/// How many processes of risk, settlement and notifier.
const PROCESSES: [usize; 3] = [1, 2, 4];

pub(crate) async fn run(plan: &Plan) -> Answer {
    let (mut steps, mut violations) = (Vec::new(), Vec::new());
    for workers in PROCESSES {
        let logs = plan.logs.join(workers.to_string());
        let answer = settle::run(&Plan { workers, logs, ..plan.clone() }).await;
        let of = |name: &str| answer.figures[name].clone();
        steps.push(json!({
            "processes": workers,
            "rate_per_s": of("rate_per_s"),
            "settle_p50_ms": of("settle_p50_ms"),
            "settle_p99_ms": of("settle_p99_ms"),
            "webhook_p99_ms": of("webhook_p99_ms"),
            "rpc_calls_per_payment": of("rpc_calls_per_payment"),
            "cpu_us_per_payment": of("cpu_us_per_payment"),
            "memory_mib": of("memory_mib"),
        }));
        violations.extend(answer.violations);
    }
    Answer { figures: Value::Array(steps), violations }
}
