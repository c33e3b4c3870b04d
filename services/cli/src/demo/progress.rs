//! Telling the person who waits how it goes.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::api::Api;
use super::board::Board;
use super::plan::PAYMENTS;
use super::receiver::Receiver;
use crate::failure::{Failure, print};

/// How often.
const EVERY: Duration = Duration::from_secs(1);

/// One line a second.
pub(crate) struct Progress<'a> {
    board: &'a Board,
    receiver: &'a Receiver,
    api: &'a Api,
    began: Instant,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(board: &'a Board, receiver: &'a Receiver, api: &'a Api) -> Self {
        Self { board, receiver, api, began: Instant::now() }
    }

    /// Tells on and on; ends only where nobody can be told.
    pub(crate) async fn keep_telling(&self) -> Failure {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(failure) = self.tell() {
                return failure;
            }
        }
    }

    /// Tells once.
    pub(crate) fn tell(&self) -> Result<(), Failure> {
        let counts = self.board.counts();
        let told = self.receiver.mail().payments().count();
        let mut parts = vec![format!("{} of {PAYMENTS} posted", counts.posted)];
        parts.push(format!("refused {}", counts.refused));
        parts.extend(counts.by_state.iter().map(|(state, count)| format!("{state} {count}")));
        parts.push(format!("webhooks {told}"));
        let again = self.api.brought_nothing();
        if again > 0 {
            parts.push(format!("requests sent again {again}"));
        }
        print(format_args!("{:>4} s  {}", self.began.elapsed().as_secs(), parts.join(" · ")))
    }
}
