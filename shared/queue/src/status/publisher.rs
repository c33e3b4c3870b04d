//! The telling side.

use std::fmt;

use redis::{Pipeline, RedisError, RedisResult};

use crate::connection::Link;
use crate::meters::{self, Sending};
use crate::outbox::{Courier, Outbox};

/// How many changes go into one message.
const CHANGES_PER_MESSAGE: usize = 250;

/// Publishes changes, best effort and without waiting. Call it after the commit.
#[derive(Clone)]
pub struct Publisher {
    outbox: Outbox<Change>,
}

/// A payment and the version it has now; or an account and no version, when something happened to one of its payments.
pub(super) type Change = (String, u64);

impl Publisher {
    pub(crate) fn new(link: Link, channel: String) -> Self {
        Self { outbox: Outbox::open(Announcer { link, channel }) }
    }

    /// Tells that each of these has reached this version; whoever watches a name that is told with
    /// version 0 is woken each time. Never waits and never fails.
    pub fn publish<I: Into<String>>(&self, changes: impl IntoIterator<Item = (I, u64)>) {
        let mut dropped = 0;
        for (payment, version) in changes {
            if !self.outbox.offer((payment.into(), version)) {
                dropped += 1;
            }
        }
        if dropped > 0 {
            meters::status_changes(Sending::Dropped, dropped);
        }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

struct Announcer {
    link: Link,
    channel: String,
}

impl Courier for Announcer {
    type Message = Change;

    async fn deliver(&self, batch: &mut Vec<Change>) -> RedisResult<()> {
        let mut pipeline = Pipeline::new();
        for changes in batch.chunks(CHANGES_PER_MESSAGE) {
            let message =
                serde_json::to_vec(changes).expect("strings and numbers are always valid JSON");
            pipeline.cmd("PUBLISH").arg(&self.channel).arg(message);
        }
        self.link.send("publish", &pipeline).await?;
        meters::status_changes(Sending::Sent, batch.len());
        Ok(())
    }

    fn give_up(&self, batch: &[Change], error: &RedisError) {
        tracing::warn!(changes = batch.len(), %error, "status changes were not published");
        meters::status_changes(Sending::Failed, batch.len());
    }
}
