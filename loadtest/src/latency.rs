//! Latencies, counted from the time at which something was due.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::course::{Curve, SHARES};

/// A histogram of times up to two minutes, to three digits.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

/// Half of the times were shorter than the first, 99 of 100 than the second, …
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

/// The longest time that is told from others, in microseconds.
const LONGEST_US: u64 = 120_000_000;

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).unwrap())
    }

    pub(crate) fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    /// The whole of it, for a plot.
    #[expect(clippy::float_arithmetic, reason = "figures for people; no amount is among them")]
    pub(crate) fn curve(&self) -> Curve {
        let ms = |share| self.0.value_at_quantile(share) as f64 / 1_000.0;
        SHARES.map(|share| (share, ms(share))).to_vec()
    }

    #[expect(clippy::float_arithmetic, reason = "figures for people; no amount is among them")]
    pub(crate) fn percentiles(&self) -> Percentiles {
        let ms = |us: u64| us as f64 / 1_000.0;
        Percentiles {
            p50_ms: ms(self.0.value_at_quantile(0.5)),
            p99_ms: ms(self.0.value_at_quantile(0.99)),
            p999_ms: ms(self.0.value_at_quantile(0.999)),
            max_ms: ms(self.0.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::new();
        for ms in 1..=1_000 {
            latencies.record(Duration::from_millis(ms));
        }
        let Percentiles { p50_ms, p99_ms, p999_ms, max_ms } = latencies.percentiles();
        for (found, expected) in [(p50_ms, 500.0), (p99_ms, 990.0), (p999_ms, 999.0)] {
            assert!((found - expected).abs() <= expected / 500.0, "{found} is not {expected}");
        }
        assert!(max_ms >= 1_000.0);
    }

    #[test]
    fn what_takes_longer_than_anything_counts_as_the_longest() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::from_secs(100_000));
        assert!(latencies.percentiles().max_ms >= 119_000.0);
    }
}
