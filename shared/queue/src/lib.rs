//! The queue: doorbells over Redis Streams.
//!
//! A [`Job`] carries an id and says "look at this one now". It may come never, once, twice, late or
//! in parallel: the ledger decides what there is to do, the queue only delivers. So nothing here
//! is a record, and there is neither a delayed set nor a retry schedule; what is due later rings
//! again later.
//!
//! - [`Bell`] rings without waiting: an HTTP handler is never held up by Redis.
//! - [`Queue::work`] runs a handler over a [`Stream`] with an apalis worker until it is told to stop.
//! - [`RateLimit`] says how often somebody may, whichever process they ask; [`Turnstile`] says it at once.
//! - [`status`] tells waiting readers, over pub/sub, that a payment has changed.
//!
//! # What is promised
//!
//! - An entry in Redis is handed to one handler at a time, and again after the lease if that
//!   handler's process died. A handler that outlives the lease is not delivered twice.
//! - Nothing is read that cannot start at once: a read asks for as many entries as there are free
//!   slots.
//! - No error of Redis ends a worker; it waits, jittered, and goes on.
//! - What cannot be handled goes to the dead stream with its reason: an entry that cannot be
//!   decoded, a handler that panicked, a job that took its process down
//!   [`QueueConfig::delivery_limit`] times.
//!
//! All keys of one stream share a hash tag, so a Redis Cluster keeps them in one slot and every
//! step that touches two of them is one atomic script.

mod backoff;
mod bell;
mod config;
mod connection;
mod dead;
mod duty;
mod entry;
mod error;
mod gate;
mod herald;
mod job;
mod meters;
mod outbox;
mod queue;
mod rate_limit;
mod scripts;
pub mod status;
mod stream;
mod worker;

pub use bell::Bell;
pub use config::{QueueConfig, QueueConfigError};
pub use dead::DeadEntry;
pub use error::{HandlerError, QueueError, WorkError};
pub use gate::{Bounds, Gates, Passage};
pub use herald::Herald;
pub use job::{InvalidJob, Job};
pub use meters::begin_metrics;
pub use queue::{Depth, Queue};
pub use rate_limit::{Quota, RateLimit, Turnstile, Verdict};
pub use stream::{InvalidNetwork, Network, Stream};
