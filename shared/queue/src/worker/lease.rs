//! The lease keeper: keeps what is held, and clears away the names of those that are gone.

use std::time::Duration;

use redis::RedisResult;
use tokio::time::Instant;

use super::held::Held;
use crate::backoff::Backoff;
use crate::connection::{self, Link};
use crate::duty::Duty;
use crate::scripts::SWEEP;
use crate::stream::{GROUP, Keys};

/// How many entries one command renews.
const CHUNK: usize = 500;
/// Renewals per lease, so that one may fail without the lease running out.
pub(super) const RENEWALS: u32 = 3;
/// How often the names of dead consumers are looked for, unless they expire faster.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Runs until it is dropped.
pub(super) struct LeaseKeeper {
    pub(super) keys: Keys,
    pub(super) link: Link,
    pub(super) held: Held,
    pub(super) consumer: String,
    pub(super) lease: Duration,
    pub(super) consumer_expiry: Duration,
}

impl Duty for LeaseKeeper {
    const NAME: &'static str = "lease keeper";

    async fn run(&mut self) {
        let mut backoff = Backoff::default();
        let mut swept = Instant::now();
        let mut wait = self.lease / RENEWALS;
        loop {
            tokio::time::sleep(wait).await;
            wait = match self.renew().await {
                Ok(()) => {
                    backoff.reset();
                    self.lease / RENEWALS
                }
                Err(error) => {
                    if backoff.failures() == 0 {
                        tracing::warn!(%error, "leases cannot be renewed");
                    }
                    backoff.next_wait()
                }
            };
            if swept.elapsed() >= SWEEP_INTERVAL.min(self.consumer_expiry) {
                swept = Instant::now();
                self.sweep().await;
            }
        }
    }
}
impl LeaseKeeper {
    /// Sets the idle time of every held entry to nothing. `JUSTID` leaves the delivery count alone,
    /// and entries that are no longer pending are passed over.
    async fn renew(&self) -> RedisResult<()> {
        for chunk in self.held.kept().chunks(CHUNK) {
            let mut command = redis::cmd("XCLAIM");
            command.arg(&*self.keys.stream).arg(GROUP).arg(&self.consumer).arg(0);
            for entry in chunk {
                command.arg(entry.to_string());
            }
            command.arg("JUSTID");
            match self.link.query::<redis::Value>("renew", &command).await {
                Ok(_) => {}
                // The stream was flushed: there is nothing to keep.
                Err(error) if connection::is_missing_group(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn sweep(&self) {
        let mut script = SWEEP.key(&*self.keys.stream);
        script.arg(GROUP).arg(millis(self.consumer_expiry));
        match self.link.invoke::<u64>("sweep", &script).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed consumers that are gone"),
            // The next round tries again.
            Err(error) => tracing::debug!(%error, "consumers could not be looked through"),
        }
    }
}

/// Whole milliseconds, as Redis counts.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
