//! When each request is due: fixed before the first is sent, whatever becomes of it.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// How requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Arrivals {
    /// At even intervals.
    Constant,
    /// Independently of each other, as of many strangers (a Poisson process).
    Poisson,
}

/// The times of `count` requests at `rate` a second, counted from the beginning. The same seed
/// makes the same times.
#[expect(clippy::float_arithmetic, reason = "times at random; no amount is among them")]
pub(crate) fn schedule(arrivals: Arrivals, rate: u64, count: usize, seed: u64) -> Vec<Duration> {
    let mean = 1.0 / rate.max(1) as f64;
    let mut dice = StdRng::seed_from_u64(seed);
    let mut due = 0.0;
    let times = std::iter::repeat_with(|| {
        let now = due;
        due += match arrivals {
            Arrivals::Constant => mean,
            // The time to the next of independent events, by the inverse of its distribution.
            Arrivals::Poisson => -mean * (1.0 - dice.random::<f64>()).ln(),
        };
        Duration::from_secs_f64(now)
    });
    times.take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_arrivals_keep_their_distance() {
        let times = schedule(Arrivals::Constant, 4, 5, 0);
        let ms: Vec<u128> = times.iter().map(Duration::as_millis).collect();
        assert_eq!(ms, [0, 250, 500, 750, 1_000]);
    }

    #[test]
    fn poisson_arrivals_are_uneven_and_as_many_as_asked_for_on_average() {
        let times = schedule(Arrivals::Poisson, 1_000, 10_000, 7);
        assert!(times.is_sorted());
        assert_eq!(times, schedule(Arrivals::Poisson, 1_000, 10_000, 7));
        let took = times.last().unwrap().as_secs_f64();
        assert!((9.0..11.0).contains(&took), "{took} s");
        let close = times.windows(2).filter(|pair| pair[1] - pair[0] < Duration::from_micros(100));
        // A share of 1 - e^-0.1 of the gaps is shorter than a tenth of the mean.
        assert!((800..1_100).contains(&close.count()));
    }
}
