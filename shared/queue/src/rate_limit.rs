//! Limits of how often, that all processes keep together.

mod here;
mod quota;
mod turnstile;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::here::Buckets;
pub use self::quota::{Quota, Verdict};
pub use self::turnstile::Turnstile;
use crate::connection::Link;
use crate::scripts::RATE_LIMIT;

/// How long Redis is left alone after it did not answer, so that few requests wait in vain.
const REST: Duration = Duration::from_secs(1);

/// A limit with a name: every subject has a bucket of its own that fills with time. Clones are the
/// same limit.
///
/// Redis keeps the buckets by its own clock, so that all processes agree. While it does not answer,
/// each process limits by itself, to the same quota: that is never no limit, and never an outage.
#[derive(Clone)]
pub struct RateLimit(Arc<Shared>);

struct Shared {
    link: Link,
    prefix: String,
    quota: Quota,
    alone: Mutex<Alone>,
}

/// What this process keeps for while Redis is away.
struct Alone {
    buckets: Buckets,
    /// Until when Redis is left alone.
    until: Option<Instant>,
}

impl RateLimit {
    pub(crate) fn new(link: Link, prefix: &str, name: &str, quota: Quota) -> Self {
        let alone = Alone { buckets: Buckets::new(Instant::now()), until: None };
        let prefix = format!("{prefix}rate:{name}");
        Self(Arc::new(Shared { link, prefix, quota, alone: Mutex::new(alone) }))
    }

    /// What each subject may take.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.0.quota
    }

    /// Takes `cost` for a subject, or says when it can be had. A cost above the burst is the whole
    /// burst. A subject is a short text; what is long should be hashed.
    pub async fn take(&self, subject: &str, cost: u32) -> Verdict {
        if let Some(verdict) = self.take_there(subject, cost).await {
            return verdict;
        }
        let shared = &self.0;
        shared.alone().buckets.take(shared.quota, subject, cost, Instant::now())
    }

    /// The verdict of Redis, if it has one soon.
    async fn take_there(&self, subject: &str, cost: u32) -> Option<Verdict> {
        let Shared { link, prefix, quota, .. } = &*self.0;
        if self.0.alone().until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let mut script = RATE_LIMIT.key(format!("{{{prefix}:{subject}}}"));
        script.arg(quota.room()).arg(quota.cost(cost));
        let answer = link.invoke("rate_limit", &script).await;
        let mut alone = self.0.alone();
        match answer {
            Ok((ahead, over)) => {
                if alone.until.take().is_some() {
                    tracing::info!(limit = %prefix, "Redis keeps this limit again");
                }
                Some(quota.verdict(ahead, over))
            }
            Err(error) => {
                if alone.until.replace(Instant::now() + REST).is_none() {
                    tracing::warn!(limit = %prefix, %error, "each process keeps this limit by itself");
                }
                None
            }
        }
    }
}

impl Shared {
    fn alone(&self) -> MutexGuard<'_, Alone> {
        // A panic leaves the buckets whole.
        self.alone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { prefix, quota, .. } = &*self.0;
        f.debug_struct("RateLimit")
            .field("name", prefix)
            .field("quota", quota)
            .finish_non_exhaustive()
    }
}
