//! Status fan-out: who waits for a payment hears that it changed.
//!
//! Over one pub/sub channel, best effort and without memory: who was not listening has missed it.
//! A reader therefore also looks by itself now and then; losing Redis loses promptness only.

mod publisher;
mod subscriber;

pub use publisher::Publisher;
pub use subscriber::{Subscriber, TooManyWatchers, Watch};

/// Stands for a change of something that has no versions: each is news.
pub(crate) const UNVERSIONED: u64 = 0;

/// The channel of an installation.
pub(crate) fn channel(prefix: &str) -> String {
    format!("{prefix}status")
}
