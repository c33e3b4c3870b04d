//! Headers of the form `<version>;<key>=<value>;…`.

/// Why a header's text cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// A character that is not visible ASCII.
    #[error("it has a character that is not visible ASCII")]
    Character,
    /// It begins with another version, or with none.
    #[error("it begins with another version, or with none")]
    Version,
    /// Something between two semicolons is no key with a value.
    #[error("it has a part that is no key with a value")]
    NoPair,
    /// A key that the version does not know.
    #[error("it has an unknown key")]
    UnknownKey,
    /// The same key, twice.
    #[error("it has a key twice")]
    RepeatedKey,
    /// A key that has to be there is not.
    #[error("it lacks {0}")]
    Missing(&'static str),
    /// A value that cannot be.
    #[error("{0}")]
    Value(&'static str),
}

/// The values of these keys, which may come in any order, each at most once and none of them empty.
pub(super) fn values<'a, const N: usize>(
    text: &'a str,
    version: &str,
    keys: [&str; N],
) -> Result<[Option<&'a str>; N], Malformed> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Malformed::Character);
    }
    let mut parts = text.split(';');
    if parts.next() != Some(version) {
        return Err(Malformed::Version);
    }
    let mut values = [None; N];
    for part in parts {
        let (key, value) = part.split_once('=').ok_or(Malformed::NoPair)?;
        if value.is_empty() {
            return Err(Malformed::NoPair);
        }
        let at = keys.iter().position(|known| *known == key).ok_or(Malformed::UnknownKey)?;
        if values[at].replace(value).is_some() {
            return Err(Malformed::RepeatedKey);
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<[Option<&str>; 2], Malformed> {
        values(text, "v.1", ["a", "bc"])
    }

    #[test]
    fn keys_come_in_any_order_or_not_at_all() {
        for (text, expected) in [
            ("v.1", [None, None]),
            ("v.1;a=1", [Some("1"), None]),
            ("v.1;bc=2;a=1", [Some("1"), Some("2")]),
            ("v.1;a==;bc=a=1", [Some("="), Some("a=1")]),
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_list_of_known_keys_is_refused() {
        for (text, why) in [
            ("", Malformed::Version),
            ("v.2;a=1", Malformed::Version),
            ("V.1;a=1", Malformed::Version),
            ("a=1;v.1", Malformed::Version),
            ("v.1;", Malformed::NoPair),
            ("v.1;;a=1", Malformed::NoPair),
            ("v.1;a=1;", Malformed::NoPair),
            ("v.1;a", Malformed::NoPair),
            ("v.1;a=", Malformed::NoPair),
            ("v.1;=1", Malformed::UnknownKey),
            ("v.1;A=1", Malformed::UnknownKey),
            ("v.1;a=1;c=2", Malformed::UnknownKey),
            ("v.1;a=1;a=1", Malformed::RepeatedKey),
            ("v.1; a=1", Malformed::Character),
            ("v.1;a=\t1", Malformed::Character),
            ("v.1;a=\0", Malformed::Character),
            ("v.1;a=\u{7f}", Malformed::Character),
            ("v.1;a=é", Malformed::Character),
        ] {
            assert_eq!(read(text), Err(why), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(
            a in proptest::option::of("[!-:<-~]{1,40}"),
            bc in proptest::option::of("[!-:<-~]{1,40}"),
        ) {
            let pair = |key: &str, value: &Option<String>| {
                value.as_ref().map_or_else(String::new, |value| format!(";{key}={value}"))
            };
            let text = format!("v.1{}{}", pair("bc", &bc), pair("a", &a));
            prop_assert_eq!(read(&text), Ok([a.as_deref(), bc.as_deref()]));
        }
    }
}
