//! How long API keys last and how often they may be used, as operators write it.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// The longest time that can be meant: a hundred years.
const LONGEST_SECS: u64 = 100 * 365 * 86_400;

/// A whole number of days, hours, minutes or seconds: `90d`, `12h`, `30m`, `0s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime(pub(crate) Duration);

impl FromStr for Lifetime {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "must be a number and d, h, m or s, for example 24h; a century at most";
        let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
        let (count, unit) = units
            .iter()
            .find_map(|(name, secs)| Some((text.strip_suffix(name)?, secs)))
            .ok_or(FORM)?;
        let count: u64 = count.parse().map_err(|_| FORM)?;
        let secs = count.checked_mul(*unit).filter(|secs| *secs <= LONGEST_SECS).ok_or(FORM)?;
        Ok(Self(Duration::from_secs(secs)))
    }
}

/// How many requests in a second; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestLimit(pub(crate) NonZeroU32);

impl FromStr for RequestLimit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // More than a million in a second are told apart by no clock of ours.
        let count = text.parse().ok().filter(|count: &NonZeroU32| count.get() <= 1_000_000);
        count.map(Self).ok_or("must be a whole number from 1 to 1000000")
    }
}

/// What an account may: a number of its own, or what everybody may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccountLimit {
    Own(RequestLimit),
    Default,
}

impl FromStr for AccountLimit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "default" => Ok(Self::Default),
            number => number.parse().map(Self::Own),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_a_number_and_its_unit() {
        for (text, secs) in
            [("24h", Some(86_400)), ("90d", Some(7_776_000)), ("0s", Some(0)), ("5m", Some(300))]
                .into_iter()
                .chain(
                    ["", "h", "24", "-1h", "1.5h", "1w", "99999d", "99999999999999999999s"]
                        .map(|text| (text, None)),
                )
        {
            let read = text.parse::<Lifetime>().ok().map(|Lifetime(time)| time.as_secs());
            assert_eq!(read, secs, "{text}");
        }
    }

    #[test]
    fn a_limit_is_at_least_one_request_a_second() {
        for (text, limit) in [
            ("1", Some(1)),
            ("1000000", Some(1_000_000)),
            ("0", None),
            ("1000001", None),
            ("x", None),
        ] {
            let read = text.parse::<RequestLimit>().ok().map(|RequestLimit(count)| count.get());
            assert_eq!(read, limit, "{text}");
        }
        assert_eq!("default".parse(), Ok(AccountLimit::Default));
    }
}
