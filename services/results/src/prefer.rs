//! `Prefer: wait` (RFC 7240, section 4.3).

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// How long the client is ready to wait, if it says so. Other preferences, and what is not a
/// number of seconds, are passed over, as the RFC asks; of two, the first counts.
pub(crate) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let preferences = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    preferences.flat_map(|list| list.split(',')).find_map(seconds).map(Duration::from_secs)
}

fn seconds(preference: &str) -> Option<u64> {
    let without_parameters = preference.split(';').next()?;
    let (name, value) = without_parameters.split_once('=')?;
    let value = value.trim().trim_matches('"');
    name.trim().eq_ignore_ascii_case("wait").then(|| value.parse().ok())?
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(value: &'static str) -> Option<u64> {
        let headers = HeaderMap::from_iter([(PREFER, HeaderValue::from_static(value))]);
        wait(&headers).map(|wait| wait.as_secs())
    }

    #[test]
    fn the_wait_is_found_among_other_preferences() {
        for value in ["wait=10", "respond-async, wait=10", "Wait = \"10\"; x=y", "wait=x, wait=10"]
        {
            assert_eq!(read(value), Some(10), "{value}");
        }
    }

    #[test]
    fn what_is_not_a_number_of_seconds_is_passed_over() {
        for value in ["", "wait", "wait=", "wait=-1", "wait=1.5", "respond-async", "x-wait=10"] {
            assert_eq!(read(value), None, "{value}");
        }
    }
}
