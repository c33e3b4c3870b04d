//! Recoveries: endpoints that are told again what they missed, a portion at a time.

use std::collections::HashSet;
use std::time::Duration;

use queue::{Job, Stream};
use tokio_util::sync::CancellationToken;

use crate::Reconciler;

/// How often somebody looks for recoveries that go on.
const INTERVAL: Duration = Duration::from_millis(500);

/// How many deliveries of one endpoint are on their way again at once.
const PORTION: i64 = 500;

/// How many steps are made in one look.
const MOST_STEPS: u32 = 64;

/// Takes recoveries further until `shutdown`. What a step left is found by the next one, whoever
/// makes it.
pub(crate) async fn run(reconciler: Reconciler, shutdown: &CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        // What failed was noted, and is tried again.
        let _ = look(&reconciler, shutdown).await;
    }
}

/// `None` when something was away and it ended early.
async fn look(reconciler: &Reconciler, shutdown: &CancellationToken) -> Option<()> {
    let Reconciler { store, queue, ledger, redis, .. } = reconciler;
    let mut resting = HashSet::new();
    for _ in 0..MOST_STEPS {
        let step = ledger.note(store.step_recovery(PORTION, reconciler.now()).await)?;
        let Some(step) = step else { break };
        let jobs: Vec<Job> = step.deliveries.iter().map(|id| Job::new(id.to_string())).collect();
        if !jobs.is_empty() {
            // A bell that is lost here rings again: they are due.
            redis.note(queue.push(&Stream::Notify, &jobs).await)?;
        }
        // One that has nothing to do now, perhaps for days, keeps no other waiting; when its turn
        // comes again, all have had theirs.
        let has_rested = !step.goes_on && !resting.insert(step.job);
        if has_rested || shutdown.is_cancelled() {
            break;
        }
    }
    Some(())
}
