//! Payments that Permit2 is to make, as stock clients sign them.

use alloy_primitives::{address, b256, hex};
use domain::{Address, Authorization, TransferMethod};
use serde_json::{Value, json};
use x402::{
    Asset, Assets, Checked, Methods, PayerSignature, Reason, Refusal, RefusalKind, SettleRequest,
    TokenDomain, Wallets, check,
};

use crate::{LIMITS, NOW, SHOP, authorization, edited, usdc};

const PROXY: Address = address!("0x402085c248EeA27D92E8b30b2C58ed07f9E20001");
const METHOD: TransferMethod = TransferMethod::Permit2 { spender: PROXY };

/// Made by viem 2.48 with the key `0x4242…42`: a signature over [`signed`].
const SIGNATURE: [u8; 65] = hex!(
    "f892917ab095d25a7c96bc8b6f35119681443666b612c4f313903f3ed4337832"
    "4aa448e191d9e93bca8dd2f8d8787643fd3beb58a5e346a857442bf46cca6e89"
    "1c"
);

pub(crate) fn signed() -> Authorization {
    // The deadline that was signed is the last second at which it is taken.
    Authorization { method: METHOD, valid_after: 1, valid_before: NOW + 61, ..authorization() }
}

pub(crate) fn token(methods: Methods) -> Asset {
    Asset { methods, ..usdc() }
}

pub(crate) fn request() -> Value {
    let terms = json!({
        "scheme": "exact", "network": "eip155:84532", "amount": "10000",
        "asset": usdc().address, "payTo": SHOP, "maxTimeoutSeconds": 60,
        "extra": {"name": "USDC", "version": "2", "assetTransferMethod": "permit2"},
    });
    json!({
        "x402Version": 2,
        "paymentPayload": {
            "x402Version": 2,
            "accepted": terms,
            "payload": {
                "signature": hex::encode_prefixed(SIGNATURE),
                "permit2Authorization": {
                    "from": signed().payer,
                    "permitted": {"token": usdc().address, "amount": "10000"},
                    "spender": PROXY,
                    "nonce": domain::U256::from_be_bytes(signed().nonce.0).to_string(),
                    "deadline": (NOW + 60).to_string(),
                    "witness": {"to": SHOP, "validAfter": "1"},
                },
            },
        },
        "paymentRequirements": terms,
    })
}

fn checked(request: Value, methods: Methods) -> Result<Checked, Refusal> {
    let request: SettleRequest = serde_json::from_value(request).unwrap();
    check(&request, &Assets::new([token(methods)]), &LIMITS, &Wallets::Refused, NOW)
}

pub(crate) const BOTH: Methods =
    Methods { eip3009: true, permit2: Some(PROXY), upto: None, permits: false };

#[test]
fn the_digest_and_the_signature_are_those_of_another_implementation() {
    let domain = TokenDomain::new(&usdc());
    let digest = b256!("0xb1b1710dbc8727ecb9d9d2d7b8e2a325b5c033699c1464d760044fe30ff3877e");
    assert_eq!(domain.digest(&signed()), digest);
    let signature = PayerSignature::parse(&SIGNATURE).unwrap();
    assert_eq!(signature.signer(digest), Some(signed().payer));
}

#[test]
fn what_a_stock_client_signs_for_permit2_is_proven() {
    let checked = checked(request(), BOTH).unwrap();
    assert_eq!(checked.authorization, signed());
    assert_eq!(checked.signature.reveal(), SIGNATURE);
}

#[test]
fn a_token_is_transferred_only_by_the_methods_that_are_listed_for_it() {
    let pointer = "/paymentRequirements/extra/assetTransferMethod";
    let none = Methods { permit2: None, ..BOTH };
    let refusal = checked(request(), none).unwrap_err();
    let told = (refusal.kind, refusal.reason, refusal.pointer.as_str());
    let unsupported = (RefusalKind::UnsupportedScheme, Reason::UnsupportedPayloadType);
    assert_eq!(told, (unsupported.0, unsupported.1, pointer));

    let by_token = crate::request(x402::Version::V2, &authorization());
    let only = Methods { eip3009: false, ..BOTH };
    let refusal = checked(by_token, only).unwrap_err();
    assert_eq!((refusal.kind, refusal.reason), unsupported);
}

#[test]
fn a_payment_by_another_method_than_is_asked_for_is_refused() {
    let pointers = [
        "/paymentRequirements/extra/assetTransferMethod",
        "/paymentPayload/accepted/extra/assetTransferMethod",
    ];
    let asked_of_the_token = edited(request(), &pointers, &Value::Null);
    let by_token = crate::request(x402::Version::V2, &authorization());
    let asked_of_permit2 = edited(by_token, &pointers, &json!("permit2"));
    let another_accepted = edited(request(), &pointers[1..], &json!("eip3009"));
    for request in [asked_of_the_token, asked_of_permit2, another_accepted] {
        let refusal = checked(request, BOTH).unwrap_err();
        assert_eq!(refusal.reason, Reason::UnsupportedPayloadType, "{refusal}");
    }
}

#[test]
fn each_part_that_is_wrong_is_told_in_the_codes_of_the_reference() {
    use RefusalKind::{
        AmountMismatch, AssetMismatch, AuthorizationExpired, AuthorizationNotYetValid,
        AuthorizationWindowTooLong, InvalidSignature, MalformedField, MissingField,
        RecipientMismatch, SchemeMismatch,
    };
    let part = |path: &str| format!("/paymentPayload/payload/permit2Authorization/{path}");
    let somebody = || json!(Address::repeat_byte(9));
    let late = NOW + 3_601;
    for (path, value, kind, reason) in [
        ("spender", somebody(), SchemeMismatch, Reason::InvalidPermit2Spender),
        ("witness/to", somebody(), RecipientMismatch, Reason::Permit2RecipientMismatch),
        ("permitted/amount", json!("9999"), AmountMismatch, Reason::Permit2AmountMismatch),
        ("permitted/token", somebody(), AssetMismatch, Reason::Permit2TokenMismatch),
        ("deadline", json!("0"), AuthorizationExpired, Reason::Permit2DeadlineExpired),
        (
            "deadline",
            json!((NOW + 18).to_string()),
            AuthorizationExpired,
            Reason::Permit2DeadlineExpired,
        ),
        (
            "deadline",
            json!(late.to_string()),
            AuthorizationWindowTooLong,
            Reason::Permit2DeadlineExpired,
        ),
        (
            "deadline",
            json!(domain::U256::MAX.to_string()),
            AuthorizationWindowTooLong,
            Reason::Permit2DeadlineExpired,
        ),
        (
            "witness/validAfter",
            json!((NOW + 1).to_string()),
            AuthorizationNotYetValid,
            Reason::Permit2NotYetValid,
        ),
        ("nonce", json!("1"), InvalidSignature, Reason::InvalidPermit2Signature),
        ("nonce", json!("0x01"), MalformedField, Reason::InvalidPayload),
        ("nonce", Value::Null, MissingField, Reason::InvalidPayload),
        ("witness", json!(7), MissingField, Reason::InvalidPayload),
        ("from", somebody(), InvalidSignature, Reason::InvalidPermit2Signature),
    ] {
        let request = edited(request(), &[&part(path)], &value);
        let refusal = checked(request, BOTH).unwrap_err();
        assert_eq!((refusal.kind, refusal.reason), (kind, reason), "{path} {value}: {refusal}");
    }
}
