//! When an endpoint that fails is given up.

use std::time::Duration;

use crate::Timestamp;

/// An endpoint at which nothing succeeds for so long is disabled.
const PATIENCE: Duration = Duration::from_secs(5 * 24 * 3600);

/// After so long its owner is warned, and after so long once more.
const WARNINGS: [Duration; 2] =
    [Duration::from_secs(24 * 3600), Duration::from_secs(3 * 24 * 3600)];

/// Failures further apart are not one spell: a retry comes within 29 hours of the failure before
/// it, so whoever fails all the time never leaves so long a gap.
pub const LONGEST_GAP: Duration = Duration::from_secs(36 * 3600);

/// Attempts in a row that led to a forbidden address, after which no more are made.
const MOST_BLOCKED: u32 = 3;

/// An endpoint at which nothing has succeeded since its first failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    /// The first failure of the spell.
    pub since: Timestamp,
    /// The latest.
    pub last_at: Timestamp,
    /// Attempts in a row that led to an address that nothing may be sent to.
    pub blocked: u32,
    /// How often its owner was warned.
    pub warnings: u8,
}

/// What follows for an endpoint from its failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Nothing yet.
    None,
    /// Its owner is warned, for the first or the second time.
    Warn(u8),
    /// It is told nothing more, for this reason.
    Disable(&'static str),
}

impl Failing {
    /// What follows from the latest failure.
    pub fn consequence(&self) -> Consequence {
        let lasted = self.last_at.since(self.since);
        if self.blocked >= MOST_BLOCKED {
            return Consequence::Disable("the endpoint's address may not be called");
        }
        if lasted >= PATIENCE {
            return Consequence::Disable("no delivery has arrived for five days");
        }
        let reached = WARNINGS.iter().filter(|after| lasted >= **after).count();
        let reached = u8::try_from(reached).unwrap_or(u8::MAX);
        if reached > self.warnings { Consequence::Warn(reached) } else { Consequence::None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn after(hours: u32, warnings: u8) -> Consequence {
        let since = Timestamp::from_unix_secs(1_000);
        Failing { since, last_at: since.plus(HOUR * hours), blocked: 0, warnings }.consequence()
    }

    #[test]
    fn an_owner_is_warned_twice_and_then_the_endpoint_is_given_up() {
        for (hours, warnings, expected) in [
            (0, 0, Consequence::None),
            (23, 0, Consequence::None),
            (24, 0, Consequence::Warn(1)),
            (25, 1, Consequence::None),
            (72, 1, Consequence::Warn(2)),
            // Nothing was tried in between: one warning is enough.
            (72, 0, Consequence::Warn(2)),
            (119, 2, Consequence::None),
        ] {
            assert_eq!(after(hours, warnings), expected, "{hours} h, warned {warnings} times");
        }
        assert!(matches!(after(120, 2), Consequence::Disable(_)));
        assert!(matches!(after(120, 0), Consequence::Disable(_)));
    }

    #[test]
    fn the_third_forbidden_address_in_a_row_is_the_last() {
        let now = Timestamp::from_unix_secs(1_000);
        let failing = |blocked| Failing { since: now, last_at: now, blocked, warnings: 0 };
        assert_eq!(failing(2).consequence(), Consequence::None);
        assert!(matches!(failing(3).consequence(), Consequence::Disable(_)));
    }
}
