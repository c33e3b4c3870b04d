//! Moments in time, to the millisecond.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

/// RFC 3339 as moments are written here: in UTC, with milliseconds.
const RFC_3339: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// A moment: milliseconds since the Unix epoch, written as RFC 3339 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Text that is no moment as it is written here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a moment of the form 2026-03-01T12:00:07.412Z")]
pub struct InvalidTimestamp;

impl Timestamp {
    /// This many milliseconds after the Unix epoch.
    pub const fn from_unix_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// This many seconds after the Unix epoch; the far future where that does not fit.
    pub const fn from_unix_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down: the chain's unit.
    pub const fn unix_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The moment that this text names in any form of RFC 3339, to the millisecond.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        // In UTC it may be in a year that RFC 3339 and the ledger have no name for.
        let utc = moment.checked_to_offset(UtcOffset::UTC).filter(|utc| utc.year() >= 0)?;
        Some(Self::from(utc))
    }

    /// This much later.
    pub fn plus(self, duration: std::time::Duration) -> Self {
        let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(ms))
    }

    /// This much earlier.
    #[must_use]
    pub fn minus(self, duration: std::time::Duration) -> Self {
        let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(ms))
    }

    /// How long after `earlier` this is; nothing where it is not.
    pub fn since(self, earlier: Self) -> std::time::Duration {
        let ms = self.0.saturating_sub(earlier.0);
        std::time::Duration::from_millis(u64::try_from(ms).unwrap_or_default())
    }

    /// The same moment as the ledger's drivers know it.
    pub fn to_datetime(self) -> OffsetDateTime {
        let nanos = i128::from(self.0).saturating_mul(1_000_000);
        OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(moment: OffsetDateTime) -> Self {
        let ms = moment.unix_timestamp_nanos().div_euclid(1_000_000);
        Self(i64::try_from(ms).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_datetime().format(RFC_3339).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Only the one form that moments are written in.
impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let moment = PrimitiveDateTime::parse(text, RFC_3339).map_err(|_| InvalidTimestamp)?;
        let moment = Self::from(moment.assume_utc());
        // The parser takes some other spellings as well, such as a sign before the year.
        if moment.to_string() == text { Ok(moment) } else { Err(InvalidTimestamp) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_form_of_rfc_3339_names_a_moment() {
        let noon = Timestamp::from_unix_ms(1_772_366_400_000);
        for text in ["2026-03-01T12:00:00Z", "2026-03-01T13:00:00+01:00", "2026-03-01t12:00:00.0z"]
        {
            assert_eq!(Timestamp::from_rfc3339(text), Some(noon), "{text}");
        }
        for text in ["", "2026-03-01", "2026-03-01T12:00:00", "1772366400", "2026-02-30T00:00:00Z"]
        {
            assert_eq!(Timestamp::from_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn a_moment_that_has_another_year_in_utc_is_taken_only_where_it_can_be_written() {
        for text in ["9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z"] {
            let moment = Timestamp::from_rfc3339(text).unwrap();
            assert_eq!(Timestamp::from(moment.to_datetime()), moment, "{text}");
            assert_eq!(moment.to_string().parse(), Ok(moment), "{text}");
        }
        for text in ["9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00+00:01"] {
            assert_eq!(Timestamp::from_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn a_timestamp_is_written_as_rfc_3339_with_milliseconds() {
        let moment = Timestamp::from_unix_ms(1_772_366_407_412);
        assert_eq!(moment.to_string(), "2026-03-01T12:00:07.412Z");
        assert_eq!(Timestamp::from(moment.to_datetime()), moment);
    }

    #[test]
    fn a_moment_reads_back_as_it_was_written_and_in_no_other_form() {
        let moment = Timestamp::from_unix_ms(1_772_366_407_412);
        assert_eq!(moment.to_string().parse(), Ok(moment));
        for bad in [
            "",
            "2026-03-01T12:00:07Z",
            "2026-03-01T12:00:07.41Z",
            "+2026-03-01T12:00:07.412Z",
            "2026-03-01t12:00:07.412z",
            "2026-03-01T12:00:07.412+00:00",
            "2026-02-30T12:00:07.412Z",
            "2026-03-01T24:00:07.412Z",
            " 2026-03-01T12:00:07.412Z",
        ] {
            assert_eq!(bad.parse::<Timestamp>(), Err(InvalidTimestamp), "{bad:?} was taken");
        }
    }
}
