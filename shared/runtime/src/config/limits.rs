//! How often both APIs may be asked.

use serde::Deserialize;

use super::Config;

/// `[limits]`: how often both APIs may be asked.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Requests of one API key in a second that bring payments or what is told of them.
    pub submit_per_second: u32,
    /// Requests of one API key in a second that read.
    pub read_per_second: u32,
    /// Requests of one API key in a second that change anything else.
    pub change_per_second: u32,
    /// Requests in a minute from one address that bring no good API key.
    pub anonymous_per_minute: u32,
    /// Keys in a minute from one address that have to be looked up and are not good.
    pub guesses_per_minute: u32,
}

/// The settings that must be at least 1.
pub(super) fn counts(config: &Config) -> [(&'static str, u64); 5] {
    let LimitsConfig {
        submit_per_second,
        read_per_second,
        change_per_second,
        anonymous_per_minute,
        guesses_per_minute,
    } = config.limits;
    [
        ("limits.submit_per_second", submit_per_second.into()),
        ("limits.read_per_second", read_per_second.into()),
        ("limits.change_per_second", change_per_second.into()),
        ("limits.anonymous_per_minute", anonymous_per_minute.into()),
        ("limits.guesses_per_minute", guesses_per_minute.into()),
    ]
}
