//! The `Authorization` header.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use crate::Denied;

/// The longest token that is looked at, in characters: those of identity providers are long.
const LONGEST_TOKEN: usize = 4_096;

/// The token of `Authorization: Bearer <token>` (RFC 6750); the scheme's case does not matter.
pub(crate) fn token(headers: &HeaderMap) -> Result<&str, Denied> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Denied::Missing)?;
    value
        .to_str()
        .ok()
        .filter(|_| values.next().is_none())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim_matches(' '))
        .filter(|token| (1..=LONGEST_TOKEN).contains(&token.len()))
        .ok_or(Denied::Malformed)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        token(&headers).ok().map(str::to_owned)
    }

    #[test]
    fn a_bearer_token_is_read_whatever_the_case_of_its_scheme() {
        for value in ["Bearer k", "bearer k", "BEARER  k "] {
            assert_eq!(read(&[value]).as_deref(), Some("k"), "{value:?}");
        }
    }

    #[test]
    fn anything_but_one_bearer_token_is_refused() {
        let long = format!("Bearer {}", "k".repeat(LONGEST_TOKEN + 1));
        for values in [
            &[][..],
            &["k"],
            &["Bearer"],
            &["Bearer "],
            &["Basic k"],
            &["Bearer k\u{e9}"],
            &[&long],
            &["Bearer k", "Bearer l"],
        ] {
            assert_eq!(read(values), None, "{values:?}");
        }
    }
}
