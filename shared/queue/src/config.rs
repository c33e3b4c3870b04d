//! What an operator may set.

use std::time::Duration;

use secrecy::SecretString;

/// The shortest lease that renewals can keep up with.
const SHORTEST_LEASE: Duration = Duration::from_millis(300);
/// The longest key prefix.
const LONGEST_PREFIX: usize = 64;

/// How to reach Redis and how to treat jobs. [`QueueConfig::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct QueueConfig {
    /// `redis://`, `rediss://` (TLS) or `redis+unix://`; for a Redis Cluster
    /// `redis+cluster://` or `rediss+cluster://` with any of its nodes. May hold a password.
    pub url: SecretString,
    /// Put before every key and channel, so that several installations share one Redis.
    pub prefix: String,
    /// How long a dead process keeps its jobs from the others. Running handlers renew theirs.
    pub lease: Duration,
    /// How often a job is delivered before it is taken for what kills the processes. Jobs that
    /// always run beside such a one share its fate; the ledger rings all of them again.
    pub delivery_limit: u32,
    /// How long one run of a handler may take before it is stopped and counted as an error.
    pub handler_deadline: Duration,
    /// How long running handlers may go on after a stop was asked for.
    pub drain_deadline: Duration,
    /// How long Redis may take to answer one command, or to accept a connection.
    pub command_timeout: Duration,
    /// How long Redis may take to say whether somebody is within a rate limit, before the process
    /// decides by itself.
    pub limit_timeout: Duration,
    /// How long a consumer may be silent, with nothing pending, before its name is removed.
    pub consumer_expiry: Duration,
    /// About how many entries a stream may hold; the oldest make room. What falls out is rung
    /// again when the ledger says it is due.
    pub stream_limit: u64,
}

/// A setting that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueConfigError {
    /// The address is not one of a Redis. The text of it is not repeated: it may hold a password.
    #[error("the Redis URL is not valid: {0}")]
    Url(&'static str),
    /// Braces would break the hash tag that keeps a stream's keys together.
    #[error("the key prefix has to be at most 64 of A-Z a-z 0-9 : _ . -")]
    Prefix,
    /// Renewals could not keep up.
    #[error("the lease has to be at least 300 ms")]
    Lease,
    /// No job would ever be delivered.
    #[error("the delivery limit has to be at least 1")]
    DeliveryLimit,
}

impl QueueConfig {
    /// The defaults, for the Redis at `url`.
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            prefix: String::new(),
            lease: Duration::from_secs(15),
            delivery_limit: 5,
            handler_deadline: Duration::from_secs(10 * 60),
            drain_deadline: Duration::from_secs(20),
            command_timeout: Duration::from_secs(2),
            limit_timeout: Duration::from_millis(250),
            consumer_expiry: Duration::from_secs(10 * 60),
            stream_limit: 1_000_000,
        }
    }

    pub(crate) fn check(&self) -> Result<(), QueueConfigError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":_.-".contains(&byte);
        if self.prefix.len() > LONGEST_PREFIX || !self.prefix.bytes().all(plain) {
            return Err(QueueConfigError::Prefix);
        }
        if self.lease < SHORTEST_LEASE {
            return Err(QueueConfigError::Lease);
        }
        if self.delivery_limit == 0 {
            return Err(QueueConfigError::DeliveryLimit);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_the_url_stays_secret() {
        let config = QueueConfig::new("redis://:hunter2@redis.internal/");
        assert_eq!(config.check(), Ok(()));
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let with = |change: fn(&mut QueueConfig)| {
            let mut config = QueueConfig::new("redis://localhost/");
            change(&mut config);
            config.check()
        };
        let braces = with(|config| config.prefix = "a{b}".into());
        assert_eq!(braces, Err(QueueConfigError::Prefix));
        let short = with(|config| config.lease = Duration::from_millis(10));
        assert_eq!(short, Err(QueueConfigError::Lease));
        let never = with(|config| config.delivery_limit = 0);
        assert_eq!(never, Err(QueueConfigError::DeliveryLimit));
    }
}
