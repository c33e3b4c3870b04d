//! Background tasks that survive their own panics.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;

/// How long to wait before a duty that panicked is taken up again.
const PAUSE: Duration = Duration::from_secs(1);

/// Something that has to go on in the background. Whoever relies on it has no way to notice that
/// it ended, so a panic must not end it.
pub(crate) trait Duty: Send + 'static {
    /// What it is, for the log.
    const NAME: &'static str;

    /// Runs until there is nothing more to do. Called again after a panic: what must not be lost
    /// in one belongs into `self`.
    fn run(&mut self) -> impl Future<Output = ()> + Send;
}

/// Runs the duty to its end.
pub(crate) async fn carry_out<D: Duty>(mut duty: D) {
    while AssertUnwindSafe(duty.run()).catch_unwind().await.is_err() {
        tracing::error!(duty = D::NAME, "a background task panicked; taking it up again");
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Clumsy {
        left: Vec<u32>,
        done: tokio::sync::mpsc::UnboundedSender<u32>,
    }

    impl Duty for Clumsy {
        const NAME: &'static str = "clumsy";

        async fn run(&mut self) {
            while let Some(number) = self.left.pop() {
                assert_ne!(number, 2, "the second one is dropped");
                self.done.send(number).unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_panic_does_not_end_a_duty() {
        let (done, mut received) = tokio::sync::mpsc::unbounded_channel();

        carry_out(Clumsy { left: vec![3, 2, 1], done }).await;

        assert_eq!(received.recv().await, Some(1));
        assert_eq!(received.recv().await, Some(3));
    }
}
