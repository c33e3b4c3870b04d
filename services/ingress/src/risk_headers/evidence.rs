//! `X-AP2-EVIDENCE`: what the agent was told to do, by reference.

use base64::Engine;
use domain::Mandate;

use super::BASE64_URL;
use super::pairs::{Malformed, values};

/// The largest mandate, in bytes: 25 MiB.
const LARGEST: u64 = 25 * 1_024 * 1_024;

/// The longest name of a type or subtype, in characters (RFC 6838, section 4.2).
const LONGEST_NAME: usize = 127;

/// What the header says.
pub(super) fn parse(text: &str) -> Result<Mandate, Malformed> {
    let [reference, sha256, mime, size] = values(text, "evd.v1", ["mr", "ms", "mt", "sz"])?;
    let reference = reference.ok_or(Malformed::Missing("mr"))?;
    let sha256 = sha256.ok_or(Malformed::Missing("ms"))?;
    let mime = mime.ok_or(Malformed::Missing("mt"))?;
    let size = size.ok_or(Malformed::Missing("sz"))?;
    if !is_sha256(sha256) {
        return Err(Malformed::Value("its ms is not the base64url of 32 bytes"));
    }
    if !is_media_type(mime) {
        return Err(Malformed::Value("its mt is not a media type"));
    }
    Ok(Mandate {
        reference: reference.to_owned(),
        sha256_b64url: sha256.to_owned(),
        mime: mime.to_owned(),
        size: bytes(size).ok_or(Malformed::Value("its sz is not a number up to 26214400"))?,
    })
}

/// Whether it is a hash, padded or not.
fn is_sha256(text: &str) -> bool {
    BASE64_URL.decode(text).is_ok_and(|hash| hash.len() == 32)
}

/// Whether it is a type and a subtype; parameters have no place in the header.
fn is_media_type(text: &str) -> bool {
    text.split_once('/').is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype))
}

fn is_name(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
    (1..=LONGEST_NAME).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(inside)
}

/// A number without signs and needless zeros, so that each has one way to be written.
fn bytes(text: &str) -> Option<u64> {
    let size: u64 = text.parse().ok().filter(|size| *size <= LARGEST)?;
    (size.to_string() == text).then_some(size)
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

    fn written(mandate: &Mandate) -> String {
        let Mandate { reference, sha256_b64url, mime, size } = mandate;
        format!("evd.v1;mr={reference};ms={sha256_b64url};mt={mime};sz={size}")
    }

    /// What becomes of a good header with this instead.
    fn with(key: &str, value: &str) -> Result<Mandate, Malformed> {
        let good = [("mr", "mandates/1"), ("ms", HASH), ("mt", "application/json"), ("sz", "42")];
        let pair = |(name, good): (&str, &str)| {
            format!(";{name}={}", if name == key { value } else { good })
        };
        parse(&format!("evd.v1{}", good.map(pair).concat()))
    }

    #[test]
    fn a_mandate_is_read_as_it_came() {
        let mandate = Mandate {
            reference: "mandates/1".to_owned(),
            sha256_b64url: HASH.to_owned(),
            mime: "application/json".to_owned(),
            size: 42,
        };
        assert_eq!(with("", ""), Ok(mandate.clone()));
        assert_eq!(parse(&written(&mandate)), Ok(mandate.clone()));
        let turned = format!("evd.v1;sz=42;mt=application/json;ms={HASH};mr=mandates/1");
        assert_eq!(parse(&turned), Ok(mandate));
    }

    #[test]
    fn each_part_is_kept_within_what_it_can_be() {
        let (long, too_long) = (format!("a/{}", "b".repeat(127)), format!("a/{}", "b".repeat(128)));
        let padded = format!("{HASH}=");
        for (key, value) in [
            ("mr", "https://shop.example/m?id=1&x=%20"),
            ("ms", &padded),
            ("mt", "application/vnd.ap2.mandate+json"),
            ("mt", "Text/Plain"),
            ("mt", &long),
            ("sz", "0"),
            ("sz", "26214400"),
        ] {
            assert!(with(key, value).is_ok(), "{key}={value}");
        }
        let short = &HASH[..42];
        let standard = HASH.replace('-', "+");
        let no_hash = "its ms is not the base64url of 32 bytes";
        let no_type = "its mt is not a media type";
        let no_size = "its sz is not a number up to 26214400";
        for (key, value, why) in [
            ("ms", short, no_hash),
            ("ms", &format!("{HASH}A"), no_hash),
            ("ms", &format!("{HASH}=="), no_hash),
            ("ms", &standard, no_hash),
            // The last digit has two bits that stand for nothing.
            ("ms", &format!("{}V", &HASH[..42]), no_hash),
            ("mt", "json", no_type),
            ("mt", "/json", no_type),
            ("mt", "application/", no_type),
            ("mt", "application/json/x", no_type),
            ("mt", "*/*", no_type),
            ("mt", "+a/b", no_type),
            ("mt", "a/b,c/d", no_type),
            ("mt", &too_long, no_type),
            ("sz", "26214401", no_size),
            ("sz", "18446744073709551616", no_size),
            ("sz", "-1", no_size),
            ("sz", "+1", no_size),
            ("sz", "042", no_size),
            ("sz", "4.2", no_size),
            ("sz", "0x2a", no_size),
            ("sz", "1e3", no_size),
        ] {
            assert_eq!(with(key, value), Err(Malformed::Value(why)), "{key}={value}");
        }
    }

    #[test]
    fn every_part_has_to_be_there_once() {
        let parts = ["mr=r", &format!("ms={HASH}"), "mt=a/b", "sz=1"];
        for (left_out, key) in ["mr", "ms", "mt", "sz"].into_iter().enumerate() {
            let mut parts = parts.to_vec();
            parts.remove(left_out);
            let text = format!("evd.v1;{}", parts.join(";"));
            assert_eq!(parse(&text), Err(Malformed::Missing(key)), "{text}");
        }
        let all = format!("evd.v1;{}", parts.join(";"));
        assert!(parse(&all).is_ok());
        assert_eq!(parse(&format!("{all};mr=r")), Err(Malformed::RepeatedKey));
        assert_eq!(parse(&format!("{all};xx=r")), Err(Malformed::UnknownKey));
        assert_eq!(parse(&all.replacen("evd.v1", "evd.v2", 1)), Err(Malformed::Version));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            reference in "[!-:<-~]{1,80}",
            hash in any::<[u8; 32]>(),
            padded: bool,
            mime in "[a-zA-Z0-9][a-zA-Z0-9!#$&^_.+-]{0,20}/[a-zA-Z0-9][a-zA-Z0-9!#$&^_.+-]{0,20}",
            size in 0..=LARGEST,
        ) {
            let engine = if padded { BASE64_URL_SAFE } else { BASE64_URL_SAFE_NO_PAD };
            let mandate = Mandate { reference, sha256_b64url: engine.encode(hash), mime, size };
            prop_assert_eq!(parse(&written(&mandate)), Ok(mandate));
        }

        #[test]
        fn no_text_makes_it_panic_and_what_is_accepted_reads_the_same_once_written_anew(
            text in "\\PC{0,40}",
            mr in "[ -~]{0,9}",
            ms in "[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]=?",
            mt in "[ -:<-~]{0,4}/?[a-z.+]{0,4}",
            sz in "[0-9+]{0,9}",
        ) {
            parse(&text).ok();
            if let Ok(read) = parse(&format!("evd.v1;ms={ms};mr={mr};sz={sz};mt={mt}{text}")) {
                prop_assert_eq!(parse(&written(&read)), Ok(read));
            }
        }
    }
}
