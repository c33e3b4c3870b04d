//! The `Retry-After` header (RFC 9110, section 10.2.3).

use std::time::{Duration, UNIX_EPOCH};

use domain::Timestamp;

/// How long after `now` the header asks to wait: seconds, or a date in one of HTTP's forms. A
/// date that has passed asks for nothing; what cannot be read says nothing.
pub(crate) fn parse(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has mean a very long time, not none.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let now = Duration::from_millis(u64::try_from(now.unix_ms()).unwrap_or_default());
    Some(date.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const NOW: Timestamp = Timestamp::from_unix_secs(784_111_777);

    #[test]
    fn seconds_and_every_form_of_a_date_are_read() {
        for (text, seconds) in [
            ("120", 120),
            (" 0 ", 0),
            ("99999999999999999999999", u64::MAX),
            ("Sun, 06 Nov 1994 08:51:37 GMT", 120),
            ("Sunday, 06-Nov-94 08:51:37 GMT", 120),
            ("Sun Nov  6 08:51:37 1994", 120),
            ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
        ] {
            assert_eq!(parse(text, NOW), Some(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        for text in ["", "soon", "-5", "1.5", "Sun, 06 Nov 1994", "Sun, 31 Feb 1994 08:51:37 GMT"] {
            assert_eq!(parse(text, NOW), None, "{text}");
        }
    }
}
