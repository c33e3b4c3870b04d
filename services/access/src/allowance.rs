//! How a verdict on a limit is told.

use std::time::Duration;

use queue::{Quota, Verdict};
use runtime::problem::Allowance;

/// What a client is told of a limit at this time, in seconds since the epoch.
#[must_use]
pub fn allowance(policy: &'static str, quota: Quota, verdict: &Verdict, now: i64) -> Allowance {
    let reset_secs = begun_seconds(verdict.reset);
    Allowance {
        policy,
        quota: quota.per_period,
        window_secs: begun_seconds(quota.period),
        remaining: verdict.remaining,
        reset_secs,
        reset_at: now.saturating_add(reset_secs.into()),
    }
}

/// Whole seconds, the last of them begun.
#[must_use]
pub fn begun_seconds(time: Duration) -> u32 {
    let whole = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    u32::try_from(whole).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_waits_the_whole_seconds_that_it_is_told_has_waited_long_enough() {
        for (millis, told) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60)] {
            assert_eq!(begun_seconds(Duration::from_millis(millis)), told);
        }
    }
}
