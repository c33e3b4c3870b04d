//! Asking again for what was not answered, and giving up.

use std::time::Duration;

use chain::ChainError;
use store::StoreError;

/// Why an audit did not come to its end; nothing about the rest is known.
#[derive(Debug, thiserror::Error)]
pub enum Unfinished {
    /// The chain was not answered for.
    #[error("the chain could not be read: {0}")]
    Chain(#[from] ChainError),
    /// The ledger did not answer.
    #[error("the ledger could not be read: {0}")]
    Ledger(#[from] StoreError),
    /// The chain has no final block yet.
    #[error("no block is final yet")]
    NothingFinal,
    /// What the node says of a token's logs is not what it says of its blocks.
    #[error("the node's logs and receipts contradict each other in block {block_number}")]
    Contradiction {
        /// The height of the block.
        block_number: u64,
    },
}

impl Unfinished {
    /// Whether asking again may help.
    const fn may_pass(&self) -> bool {
        match self {
            Self::Chain(_) => true,
            Self::Ledger(error) => error.is_unavailable(),
            // What was compared with such logs proves nothing: all of it is read anew another time.
            Self::Contradiction { .. } | Self::NothingFinal => false,
        }
    }
}

/// How often one thing is asked for.
const ASKS: u32 = 5;

/// How long is waited after the first time; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// What is left of the readiness to ask for one thing again.
#[derive(Debug)]
pub(super) struct Patience {
    asked: u32,
    pause: Duration,
}

impl Patience {
    pub(super) const fn new() -> Self {
        Self { asked: 0, pause: FIRST_PAUSE }
    }

    /// Waits before the next time, unless this was the last one or no further one would help.
    pub(super) async fn bear(&mut self, error: impl Into<Unfinished>) -> Result<(), Unfinished> {
        let error = error.into();
        let Some(pause) = self.pause_after(&error) else { return Err(error) };
        tracing::debug!(%error, asked = self.asked, "asking again");
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn pause_after(&mut self, error: &Unfinished) -> Option<Duration> {
        self.asked = self.asked.saturating_add(1);
        let pause = self.pause;
        self.pause = pause.saturating_mul(2);
        (self.asked < ASKS && error.may_pass()).then_some(pause)
    }
}

/// Asks until there is an answer, within bounds.
pub(super) async fn ask<T, E, F>(mut question: impl FnMut() -> F) -> Result<T, Unfinished>
where
    E: Into<Unfinished>,
    F: Future<Output = Result<T, E>>,
{
    let mut patience = Patience::new();
    loop {
        match question().await {
            Ok(answer) => return Ok(answer),
            Err(error) => patience.bear(error).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses_ms(error: &Unfinished) -> Vec<u128> {
        let mut patience = Patience::new();
        std::iter::from_fn(|| patience.pause_after(error)).map(|pause| pause.as_millis()).collect()
    }

    #[test]
    fn what_may_pass_is_asked_for_again_ever_more_rarely_and_within_bounds() {
        let away = ChainError::TimedOut { limit: FIRST_PAUSE };
        for error in [Unfinished::Chain(away), Unfinished::Chain(ChainError::Behind)] {
            assert_eq!(pauses_ms(&error), [250, 500, 1_000, 2_000]);
        }
    }

    #[test]
    fn what_asking_again_does_not_help_is_asked_for_once() {
        for error in [
            Unfinished::Ledger(StoreError::Unreadable("amount".to_owned())),
            Unfinished::Contradiction { block_number: 1 },
            Unfinished::NothingFinal,
        ] {
            assert_eq!(pauses_ms(&error), [0_u128; 0], "{error}");
        }
    }
}
