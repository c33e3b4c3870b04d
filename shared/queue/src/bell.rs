//! The bell: rings that nobody waits for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, RedisError, RedisResult};

use crate::connection::Link;
use crate::job::Job;
use crate::meters::{self, Sending};
use crate::outbox::{Courier, Outbox};
use crate::stream::{Keys, Stream};

/// The field of a stream entry that holds the job.
pub(crate) const JOB_FIELD: &str = "job";

/// Rings for jobs, best effort.
///
/// A ring is buffered and sent with others in one round trip. If the buffer is full, or Redis stays away, it is dropped and counted in `queue_rings_total`; the
/// ledger knows what is due and the reconciler rings again.
#[derive(Clone)]
pub struct Bell {
    outbox: Outbox<Ring>,
}

struct Ring {
    stream: Stream,
    job: Job,
}

impl Bell {
    pub(crate) fn new(link: Link, prefix: Arc<str>, stream_limit: u64) -> Self {
        Self { outbox: Outbox::open(Ringer { link, prefix, stream_limit }) }
    }

    /// Rings once. Never waits and never fails.
    pub fn ring(&self, stream: &Stream, job: Job) {
        self.ring_all(stream, [job]);
    }

    /// Rings for each job. Never waits and never fails.
    pub fn ring_all(&self, stream: &Stream, jobs: impl IntoIterator<Item = Job>) {
        let mut dropped = 0;
        for job in jobs {
            let ring = Ring { stream: stream.clone(), job };
            if !self.outbox.offer(ring) {
                dropped += 1;
            }
        }
        if dropped > 0 {
            meters::rings(stream, Sending::Dropped, dropped);
        }
    }

    /// Waits until every ring so far was sent or given up, for `limit` at most; says whether it
    /// was in time. For a process that is about to end.
    pub async fn flush(&self, limit: Duration) -> bool {
        self.outbox.flush(limit).await
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").finish_non_exhaustive()
    }
}

/// One `XADD` for one job. The stream is kept at about its limit; the oldest make room.
pub(crate) fn add_command(keys: &Keys, stream_limit: u64, job: &Job) -> Cmd {
    let mut command = redis::cmd("XADD");
    command
        .arg(&*keys.stream)
        .arg("MAXLEN")
        .arg("~")
        .arg(stream_limit)
        .arg("*")
        .arg(JOB_FIELD)
        .arg(job.encode());
    command
}

struct Ringer {
    link: Link,
    prefix: Arc<str>,
    stream_limit: u64,
}

impl Courier for Ringer {
    type Message = Ring;

    /// One pipeline per stream, as the streams of a cluster lie on different servers.
    async fn deliver(&self, batch: &mut Vec<Ring>) -> RedisResult<()> {
        while let Some(stream) = batch.first().map(|ring| ring.stream.clone()) {
            let keys = Keys::new(&self.prefix, &stream);
            let mut pipeline = Pipeline::with_capacity(batch.len());
            for ring in batch.iter().filter(|ring| ring.stream == stream) {
                pipeline.add_command(add_command(&keys, self.stream_limit, &ring.job));
            }
            self.link.send("ring", &pipeline).await?;
            meters::rings(&stream, Sending::Sent, pipeline.len());
            batch.retain(|ring| ring.stream != stream);
        }
        Ok(())
    }

    fn give_up(&self, batch: &[Ring], error: &RedisError) {
        tracing::warn!(rings = batch.len(), %error, "rings were not delivered");
        for ring in batch {
            meters::rings(&ring.stream, Sending::Failed, 1);
        }
    }
}
