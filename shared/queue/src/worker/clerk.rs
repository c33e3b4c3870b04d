//! The clerk: tells Redis, in batches, how entries ended.

use std::collections::HashSet;

use redis::RedisResult;
use tokio::sync::mpsc;

use super::delivery::Ending;
use super::held::Held;
use crate::backoff::Backoff;
use crate::connection::Link;
use crate::duty::Duty;
use crate::entry::EntryId;
use crate::scripts::{CONCLUDE, DEAD_LIMIT};
use crate::stream::{GROUP, Keys};

/// How many endings go into one script call. Lua cannot unpack more than about 8,000 values.
const BATCH: usize = 500;
/// How many endings wait at most; while Redis is away, handlers beyond that keep their slots.
pub(super) const BACKLOG: usize = 1_024;

/// Writes endings down until the last ticket is gone, however often that takes.
pub(super) struct Clerk {
    pub(super) keys: Keys,
    pub(super) link: Link,
    pub(super) held: Held,
    pub(super) endings: mpsc::Receiver<Ending>,
    /// What is being written down.
    pub(super) batch: Vec<Ending>,
}

impl Duty for Clerk {
    const NAME: &'static str = "clerk";

    async fn run(&mut self) {
        let mut backoff = Backoff::default();
        loop {
            if !self.gather().await {
                return;
            }
            match self.conclude().await {
                Ok(refused) => {
                    let written =
                        self.batch.extract_if(.., |ending| !refused.contains(&ending.id()));
                    self.held.release(written.map(|ending| ending.id()));
                    if self.batch.is_empty() {
                        backoff.reset();
                        continue;
                    }
                    let entries = self.batch.len();
                    tracing::error!(entries, "the dead stream takes no entries");
                }
                Err(error) if backoff.failures() == 0 => {
                    tracing::warn!(%error, "finished jobs cannot be acknowledged yet");
                }
                Err(_) => {}
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }
}

impl Clerk {
    /// Waits for endings, or adds new ones to those that have to be written again. False when there
    /// are none left and none will come.
    async fn gather(&mut self) -> bool {
        if self.batch.is_empty() {
            return self.endings.recv_many(&mut self.batch, BATCH).await > 0;
        }
        while self.batch.len() < BATCH
            && let Ok(ending) = self.endings.try_recv()
        {
            self.batch.push(ending);
        }
        true
    }

    /// Writes the batch down whole. Returns the entries the dead stream had no room for.
    async fn conclude(&self) -> RedisResult<HashSet<EntryId>> {
        let batch = &self.batch;
        let finished = batch.iter().filter_map(|ending| match ending {
            Ending::Finished(id) => Some(id.to_string()),
            Ending::Unstarted(_) | Ending::Dead { .. } => None,
        });
        let unstarted = batch.iter().filter_map(|ending| match ending {
            Ending::Unstarted(id) => Some(id.to_string()),
            Ending::Finished(_) | Ending::Dead { .. } => None,
        });
        let mut script = CONCLUDE.prepare_invoke();
        script.key(&*self.keys.stream).key(&*self.keys.dead);
        script.arg(GROUP).arg(DEAD_LIMIT);
        for ids in [finished.collect::<Vec<_>>(), unstarted.collect()] {
            script.arg(ids.len()).arg(ids);
        }
        for ending in batch {
            if let Ending::Dead { origin, reason } = ending {
                script.arg(origin.id.to_string()).arg(origin.deliveries);
                script.arg(reason).arg(&origin.body);
            }
        }
        let refused: Vec<String> = self.link.invoke("ack", &script).await?;
        Ok(refused.iter().filter_map(|id| id.parse().ok()).collect())
    }
}
