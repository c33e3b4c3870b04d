//! Waiting for a condition: the only place where tests sleep.

use std::time::{Duration, Instant};

/// How often a condition is looked at: soon at first, then ever more rarely up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// The pause after the first look.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// Asks until the answer is `Some`, and gives what it holds.
///
/// # Panics
/// When there is no answer within `deadline`.
#[track_caller]
pub fn eventually<T, F>(deadline: Duration, mut ask: impl FnMut() -> F) -> impl Future<Output = T>
where
    F: Future<Output = Option<T>>,
{
    let caller = std::panic::Location::caller();
    async move {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            assert!(begun.elapsed() < deadline, "nothing came within {deadline:?} at {caller}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_that_comes_true_ends_the_wait() {
        let mut looks = 0;
        let answer = eventually(Duration::from_secs(5), || {
            looks += 1;
            let look = looks;
            async move { (look == 3).then_some("here") }
        })
        .await;
        assert_eq!(answer, "here");
    }

    #[tokio::test]
    #[should_panic(expected = "nothing came within")]
    async fn a_condition_that_never_comes_true_is_a_failure() {
        eventually(Duration::from_millis(5), || async { None::<()> }).await;
    }
}
