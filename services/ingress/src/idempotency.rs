//! The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header-07).

use axum::http::{HeaderMap, HeaderName};
use runtime::{Problem, ProblemCode};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest key, in characters.
const LONGEST_KEY: usize = 255;

/// The key under which the seller may repeat the request, if the headers name one.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    read(headers).map_err(|NotAKey| {
        Problem::new(ProblemCode::InvalidIdempotencyKey).detail(
            "The Idempotency-Key must be 1 to 255 visible ASCII characters, quoted or not, once",
        )
    })
}

/// The header does not hold a key.
#[derive(Debug, PartialEq, Eq)]
struct NotAKey;

fn read(headers: &HeaderMap) -> Result<Option<String>, NotAKey> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(NotAKey);
    }
    let text = value.to_str().map_err(|_| NotAKey)?.trim_matches(' ');
    let key = match text.strip_prefix('"') {
        Some(quoted) => unquoted(quoted)?,
        None => text.to_owned(),
    };
    let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    if visible && (1..=LONGEST_KEY).contains(&key.len()) { Ok(Some(key)) } else { Err(NotAKey) }
}

/// The rest of a quoted string of RFC 8941, section 3.3.3: only `\"` and `\\` are escapes, and
/// nothing follows the closing quote. The draft asks for this form; most clients send the bare one.
fn unquoted(rest: &str) -> Result<String, NotAKey> {
    let mut key = String::with_capacity(rest.len());
    let mut characters = rest.chars();
    loop {
        match characters.next().ok_or(NotAKey)? {
            '"' => break,
            '\\' => match characters.next() {
                Some(escaped @ ('"' | '\\')) => key.push(escaped),
                Some(_) | None => return Err(NotAKey),
            },
            plain => key.push(plain),
        }
    }
    if characters.next().is_none() { Ok(key) } else { Err(NotAKey) }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read_from(values: &[&str]) -> Result<Option<String>, NotAKey> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_str(value).unwrap());
        }
        read(&headers)
    }

    #[test]
    fn a_key_may_be_quoted_bare_or_absent() {
        assert_eq!(read_from(&[]), Ok(None));
        for value in ["8e03978e-40d5", "\"8e03978e-40d5\"", " \"8e03978e-40d5\" "] {
            assert_eq!(read_from(&[value]), Ok(Some("8e03978e-40d5".to_owned())), "{value}");
        }
        assert_eq!(read_from(&[r#""a\"b\\c""#]), Ok(Some(r#"a"b\c"#.to_owned())));
    }

    #[test]
    fn what_is_not_one_key_is_refused() {
        let long = "k".repeat(LONGEST_KEY + 1);
        for values in [
            &[""][..],
            &["\"\""],
            &["\""],
            &["\"a"],
            &["\"a\"b"],
            &["\"a\";p=1"],
            &[r#""a\b""#],
            &[r#""a\"#],
            &["a b"],
            &["\"a b\""],
            &["k\u{e9}"],
            &[&long],
            &["a", "a"],
        ] {
            assert_eq!(read_from(values), Err(NotAKey), "{values:?}");
        }
        assert!(read_from(&[&long[1..]]).is_ok());
    }

    proptest! {
        #[test]
        fn every_key_reads_the_same_quoted_and_bare(text in "[!#-~]{1,255}") {
            let quoted = format!("\"{}\"", text.replace('\\', r"\\"));
            prop_assert_eq!(read_from(&[&quoted]), read_from(&[&text]));
            prop_assert_eq!(read_from(&[&text]), Ok(Some(text)));
        }
    }
}
