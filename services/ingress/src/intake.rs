//! Group commit: submissions that arrive together are committed together.

use std::time::Duration;

use runtime::coalesce::Limits;
use runtime::{CoalesceError, Coalescer, FailPoint, fail_point};
use store::{Acceptance, Intake, Store, StoreError};

use crate::meters;

/// Commits under way at once. While they are, the next ones gather, so more would only make the
/// commits smaller.
const COMMITS_AT_ONCE: usize = 2;

/// The least time between two commits that are not full. A commit costs several round trips and a
/// flush of the disk however small it is; a submission alone waits for nobody.
const PACE: Duration = Duration::from_millis(10);

/// The longest a submission waits for its commit.
const COMMIT_DEADLINE: Duration = Duration::from_secs(10);

/// Why a submission has no answer from the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAccepted {
    /// Not now; whether it was committed may be unknown. The same submission can be given again:
    /// the ledger takes each authorization once.
    #[error("the ledger does not answer")]
    Unavailable,
    /// The ledger cannot take this one: a defect of ours.
    #[error("the ledger cannot take the submission")]
    Refused,
}

type Outcome = Result<Acceptance, NotAccepted>;

/// Where submissions are written down.
#[derive(Clone, Debug)]
pub(crate) struct Register {
    gathering: Coalescer<Intake, Outcome>,
}

impl Register {
    /// Starts to gather submissions into commits of at most `max_batch`.
    pub(crate) fn open(store: Store, max_batch: usize) -> Self {
        let limits = Limits { pace: PACE, ..Limits::new(max_batch, COMMITS_AT_ONCE) };
        let gathering =
            Coalescer::spawn_with("accept", limits, move |batch| commit(store.clone(), batch));
        Self { gathering }
    }

    /// Commits a submission, or finds what became of it before.
    pub(crate) async fn accept(&self, intake: Intake) -> Outcome {
        match tokio::time::timeout(COMMIT_DEADLINE, self.gathering.submit(intake)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(
                CoalesceError::Closed | CoalesceError::Overloaded | CoalesceError::Panicked,
            ))
            | Err(_) => Err(NotAccepted::Unavailable),
        }
    }

    /// Takes no more, and waits until everything taken is committed.
    pub(crate) async fn close(&self) {
        self.gathering.drain().await;
    }
}

async fn commit(store: Store, batch: Vec<Intake>) -> Vec<Outcome> {
    let error = match store.accept(batch.clone()).await {
        Ok(acceptances) => {
            count(&acceptances);
            fail_point(FailPoint::AfterCommit);
            return acceptances.into_iter().map(Ok).collect();
        }
        Err(error) => error,
    };
    if error.is_unavailable() || batch.len() == 1 {
        let outcome = not_accepted(&error, batch.len());
        return batch.iter().map(|_| Err(outcome)).collect();
    }
    tracing::error!(%error, payments = batch.len(), "a batch was refused; each is tried alone");
    let mut outcomes = Vec::with_capacity(batch.len());
    for intake in batch {
        outcomes.push(commit_alone(&store, intake).await);
    }
    outcomes
}

/// One submission must not take those down that happened to arrive beside it.
async fn commit_alone(store: &Store, intake: Intake) -> Outcome {
    match store.accept(vec![intake]).await {
        Ok(mut acceptances) => {
            count(&acceptances);
            acceptances.pop().ok_or(NotAccepted::Refused)
        }
        Err(error) => Err(not_accepted(&error, 1)),
    }
}

fn count(acceptances: &[Acceptance]) {
    let new = acceptances.iter().filter(|it| matches!(it, Acceptance::New(_)));
    meters::taken(new.count());
}

fn not_accepted(error: &StoreError, payments: usize) -> NotAccepted {
    if error.is_unavailable() {
        tracing::warn!(%error, payments, "payments cannot be committed now");
        NotAccepted::Unavailable
    } else {
        tracing::error!(%error, payments, "payments cannot be committed");
        NotAccepted::Refused
    }
}
