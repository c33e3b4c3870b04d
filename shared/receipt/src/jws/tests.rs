//! Good receipts are read, and nothing else is.

use domain::Amount;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::statement::tests::statement;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn keys() -> KeyDocument {
    KeyDocument::new([key(1).public(), key(2).public()])
}

fn read(text: &str) -> Result<Statement, Refused> {
    Receipt::parse(text)?.verify(&keys())
}

/// Signs anything as anything, with the first key.
fn signed(header: &str, payload: &str) -> String {
    let [header, payload] = [header, payload].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
    let bytes = format!("{header}.{payload}");
    let signature = key(1).sign_bytes(bytes.as_bytes());
    format!("{bytes}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

fn header(changes: &[(&str, Value)]) -> String {
    let id = key(1).public().id();
    let mut header = json!({"alg": "EdDSA", "kid": id, "typ": "quittance-receipt+jws"});
    for (member, value) in changes {
        header[*member] = value.clone();
    }
    header.to_string()
}

fn payload() -> String {
    serde_json::to_string(&statement()).unwrap()
}

#[test]
fn a_receipt_reads_back_as_it_was_signed_by_each_key() {
    for seed in [1, 2] {
        let receipt = key(seed).sign(&statement());
        assert_eq!(read(&receipt), Ok(statement()));
        assert_eq!(receipt, key(seed).sign(&statement()), "it is the same each time");
        assert!(receipt.len() < MAX_BYTES / 4, "{}", receipt.len());
    }
    assert_eq!(read(&signed(&header(&[]), &payload())), Ok(statement()));
}

#[test]
fn a_receipt_of_another_key_is_refused() {
    let stranger = key(3).sign(&statement());
    assert_eq!(read(&stranger), Err(Refused::UnknownKey(key(3).public().id())));

    // Somebody who claims to be a key that he has not.
    let kid = [("kid", json!(key(2).public().id()))];
    let forged = signed(&header(&kid), &payload());
    assert_eq!(read(&forged), Err(Refused::WrongSignature(key(2).public().id())));
}

#[test]
fn a_header_that_no_receipt_has_is_refused_though_its_key_signed_it() {
    let id = json!(key(1).public().id());
    for (changes, refused) in [
        (("alg", json!("none")), Refused::OtherAlgorithm),
        (("alg", json!("HS256")), Refused::OtherAlgorithm),
        (("alg", json!("eddsa")), Refused::OtherAlgorithm),
        (("alg", json!(null)), Refused::BadHeader),
        (("typ", json!("JWT")), Refused::OtherType),
        (("typ", json!(null)), Refused::OtherType),
        (("crit", json!(["b64"])), Refused::CriticalExtension),
        (("crit", json!(null)), Refused::CriticalExtension),
        (("kid", json!(null)), Refused::BadHeader),
        (("kid", json!("../../etc/passwd")), Refused::BadHeader),
        (("kid", json!([id])), Refused::BadHeader),
        (("jwk", json!({"kty": "OKP"})), Refused::BadHeader),
        (("jku", json!("https://evil.example")), Refused::BadHeader),
        (("b64", json!(false)), Refused::BadHeader),
    ] {
        let receipt = signed(&header(std::slice::from_ref(&changes)), &payload());
        assert_eq!(read(&receipt), Err(refused), "{changes:?}");
    }
    let twice = header(&[]).replacen('{', r#"{"alg":"EdDSA","#, 1);
    for bad in ["", "null", "[]", "{}", "{", &twice, &"[".repeat(3_000)] {
        assert_eq!(read(&signed(bad, &payload())), Err(Refused::BadHeader), "{bad}");
    }
}

#[test]
fn a_payload_that_is_no_statement_is_refused_though_a_key_signed_it() {
    let with = |member: &str, value: Value| {
        let mut payload = serde_json::to_value(statement()).unwrap();
        payload[member] = value;
        read(&signed(&header(&[]), &payload.to_string()))
    };
    assert_eq!(with("version", json!(2)), Err(Refused::OtherVersion(2)));
    assert_eq!(with("more", json!("is tolerated")), Ok(statement()));
    for (member, value) in [
        ("version", json!("1")),
        ("payment", json!("evt_00000000000000000000000001")),
        ("network", json!("eip155:0")),
        ("asset", json!("0x01")),
        ("amount", json!(10_000)),
        ("amount", json!("-1")),
        ("settled_at", json!("yesterday")),
        ("finality", json!("maybe")),
        ("transaction", json!(null)),
    ] {
        let read = with(member, value.clone());
        assert!(matches!(read, Err(Refused::BadStatement(_))), "{member} {value}: {read:?}");
    }
    let twice = payload().replacen('{', r#"{"amount":"1","#, 1);
    for bad in ["", "null", "{}", &twice, "\u{0}", &"[".repeat(3_000)] {
        let read = read(&signed(&header(&[]), bad));
        assert!(matches!(read, Err(Refused::BadStatement(_))), "{bad}: {read:?}");
    }
}

#[test]
fn what_is_not_in_the_compact_form_is_refused() {
    let good = key(1).sign(&statement());
    let [header, payload, signature] = *good.split('.').collect::<Vec<_>>() else { panic!() };
    for bad in ["", ".", "a", "a.b", &good.replace('.', ""), &format!("{good}.{signature}")] {
        assert_eq!(read(bad), Err(Refused::NotCompact), "{bad}");
    }
    for (bad, part) in [
        (format!("{header}=.{payload}.{signature}"), Part::Header),
        (format!(" {good}"), Part::Header),
        (format!("{header}.{payload}\n.{signature}"), Part::Payload),
        (format!("{header}.é.{signature}"), Part::Payload),
        (format!("{good}\n"), Part::Signature),
        (format!("{header}.{payload}.{}+/", &signature[2..]), Part::Signature),
    ] {
        assert_eq!(read(&bad), Err(Refused::NotBase64(part)), "{bad}");
    }
    let wrong = Err(Refused::WrongSignature(key(1).public().id()));
    assert_eq!(read(&format!("{header}.{payload}.")), wrong);
    assert_eq!(read(&format!("{header}.{payload}.{signature}AAAA")), wrong);
    assert_eq!(read(&good.replace(signature, &"A".repeat(MAX_BYTES))), Err(Refused::TooLong));
}

#[test]
fn another_encoding_of_the_same_signature_is_refused() {
    // The order of the group added to the second half: the same number for a lax reader.
    let order: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let good = key(1).sign(&statement());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut carry = 0;
    for (byte, add) in bytes[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    let other = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
    assert_eq!(read(&other), Err(Refused::WrongSignature(key(1).public().id())));
}

proptest! {
    #[test]
    fn a_receipt_with_any_byte_changed_is_refused(at: prop::sample::Index, other in " -~") {
        let good = key(1).sign(&statement());
        let at = at.index(good.len());
        let mut changed = good.clone();
        changed.replace_range(at..=at, &other);
        prop_assume!(changed != good);
        prop_assert!(read(&changed).is_err(), "{}", changed);
    }

    #[test]
    fn a_receipt_that_is_cut_short_or_goes_on_is_refused(at: prop::sample::Index, more in "[ -~]{1,9}") {
        let good = key(1).sign(&statement());
        prop_assert!(read(&good[..at.index(good.len())]).is_err());
        let longer = good + &more;
        prop_assert!(read(&longer).is_err());
    }

    #[test]
    fn whatever_is_read_nothing_panics(text in "\\PC{0,200}", parts: [Vec<u8>; 3]) {
        prop_assert!(read(&text).is_err());
        let parts = parts.map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        prop_assert!(read(&parts.join(".")).is_err());
    }

    #[test]
    fn every_statement_reads_back_as_it_was_signed(units: u64, height: u64, ms in 0i64..4_000_000_000_000) {
        let settled_at = domain::Timestamp::from_unix_ms(ms);
        let mut stated = Statement { amount: Amount::from(units), settled_at, ..statement() };
        stated.transaction.block_number = height;
        prop_assert_eq!(read(&key(2).sign(&stated)), Ok(stated));
    }
}
