//! One row for each way to be refused.

use domain::Address;
use serde_json::{Value, json};
use x402::{Reason, RefusalKind, Version};

use crate::{SHOP, assert_refused, authorization, checked, edited, request, usdc};

#[test]
fn every_field_that_is_needed_is_missed() {
    let payment = [
        "/paymentPayload/x402Version",
        "/paymentPayload/payload",
        "/paymentPayload/payload/signature",
        "/paymentPayload/payload/authorization/from",
        "/paymentPayload/payload/authorization/to",
        "/paymentPayload/payload/authorization/value",
        "/paymentPayload/payload/authorization/validAfter",
        "/paymentPayload/payload/authorization/validBefore",
        "/paymentPayload/payload/authorization/nonce",
    ];
    let v1 = ["/paymentPayload/scheme", "/paymentPayload/network"];
    let v2 = [
        "/paymentPayload/accepted",
        "/paymentPayload/accepted/scheme",
        "/paymentPayload/accepted/network",
        "/paymentPayload/accepted/amount",
        "/paymentPayload/accepted/asset",
        "/paymentPayload/accepted/payTo",
    ];
    let terms = ["scheme", "network", "asset", "payTo"];
    let terms = terms.map(|name| format!("/paymentRequirements/{name}"));
    let in_both = payment.into_iter().chain(terms.iter().map(String::as_str));
    let rows = in_both
        .flat_map(|pointer| [(Version::V1, pointer), (Version::V2, pointer)])
        .chain(v1.map(|pointer| (Version::V1, pointer)))
        .chain(v2.map(|pointer| (Version::V2, pointer)))
        .chain([
            (Version::V1, "/paymentRequirements/maxAmountRequired"),
            (Version::V2, "/paymentRequirements/amount"),
        ]);
    for (version, pointer) in rows {
        let request = edited(request(version, &authorization()), &[pointer], &Value::Null);
        let refusal = checked(request).unwrap_err();
        let below = refusal.pointer.strip_prefix(pointer);
        assert!(below.is_some(), "{version:?} without {pointer} was told {refusal}");
        assert_eq!(refusal.kind, RefusalKind::MissingField);
    }
}

#[test]
fn fields_that_do_not_read_are_refused_one_by_one() {
    let from = "/paymentPayload/payload/authorization/from";
    let nonce = "/paymentPayload/payload/authorization/nonce";
    let value = "/paymentPayload/payload/authorization/value";
    let rows = [
        ("/paymentPayload", json!([])),
        ("/paymentPayload", json!(7)),
        ("/paymentPayload", json!("not base64")),
        ("/paymentPayload/x402Version", json!("2")),
        ("/paymentPayload/accepted", json!("exact")),
        ("/paymentPayload/accepted/scheme", json!(1)),
        (from, json!("0x123")),
        (from, json!("036CbD53842c5426634e7929541eC2318f3dCF7e")),
        (from, json!("0X036CbD53842c5426634e7929541eC2318f3dCF7e")),
        (from, json!("0x036CbD53842c5426634e7929541eC2318f3dCF7g")),
        (nonce, json!("0x07")),
        (nonce, json!(7)),
        (value, json!(10_000)),
        (value, json!("1e4")),
        (value, json!("0x2710")),
        (value, json!("-1")),
        (value, json!("")),
        ("/paymentPayload/payload/authorization/validAfter", json!(0)),
        ("/paymentPayload/payload/authorization/validBefore", json!("soon")),
        ("/paymentRequirements", json!("exact")),
        ("/paymentRequirements/amount", json!("10000.0")),
        ("/paymentRequirements/amount", json!("0")),
        ("/paymentRequirements/payTo", json!(Address::ZERO)),
        ("/paymentRequirements/payTo", json!({})),
        ("/paymentRequirements/extra/name", json!(5)),
    ];
    for (pointer, value) in rows {
        let reason = if pointer.starts_with("/paymentPayload") {
            Reason::InvalidPayload
        } else {
            Reason::InvalidPaymentRequirements
        };
        assert_refused(Version::V2, pointer, &value, (RefusalKind::MalformedField, reason));
    }
    let unreadable = (RefusalKind::MalformedField, Reason::UnreadableSignature);
    let signature = "/paymentPayload/payload/signature";
    for text in ["", "0x1", "0xzz", "deadbeef"] {
        assert_refused(Version::V2, signature, &json!(text), unreadable);
    }
}

#[test]
fn objects_nested_without_end_are_refused() {
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    let expected = (RefusalKind::MalformedField, Reason::InvalidPayload);
    let request = request(Version::V2, &authorization());
    let request = edited(request, &["/paymentPayload/extensions"], &deep);
    let refusal = checked(request).unwrap_err();
    assert_eq!((refusal.kind, refusal.reason), expected);
}

#[test]
fn what_is_not_supported_is_named() {
    use RefusalKind::{
        UnsupportedAsset, UnsupportedNetwork, UnsupportedScheme, UnsupportedSignature,
        UnsupportedVersion,
    };
    let (v1, v2) = (Version::V1, Version::V2);
    let required = |name: &str| format!("/paymentRequirements/{name}");
    let version = (UnsupportedVersion, Reason::InvalidX402Version);
    let network = (UnsupportedNetwork, Reason::InvalidNetwork);
    let asset = (UnsupportedAsset, Reason::InvalidPaymentRequirements);
    let scheme = (UnsupportedScheme, Reason::UnsupportedScheme);
    let method = (UnsupportedScheme, Reason::UnsupportedPayloadType);
    let wallet = (UnsupportedSignature, Reason::InvalidSignature);
    let undeployed = (UnsupportedSignature, Reason::Eip6492FactoryNotAllowed);
    let blob = format!("0x{}{}", "01".repeat(200), "6492".repeat(16));
    for (version, pointer, value, expected) in [
        (v2, "/x402Version", json!(3), version),
        (v2, "/x402Version", json!(0), version),
        (v2, "/paymentPayload/x402Version", json!(1), version),
        (v1, "/paymentPayload/x402Version", json!(2), version),
        (v2, &required("scheme"), json!("upto"), scheme),
        (v2, &required("network"), json!("base-sepolia"), network),
        (v1, &required("network"), json!("eip155:84532"), network),
        (v2, &required("network"), json!("eip155:1"), network),
        (v2, &required("network"), json!("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"), network),
        (v1, &required("network"), json!("base"), network),
        (v2, &required("asset"), json!(SHOP), asset),
        (v2, &required("extra/assetTransferMethod"), json!("permit2"), method),
        (v2, "/paymentPayload/payload/permit2Authorization", json!({}), method),
        (v2, "/paymentPayload/payload/delegationManager", json!(SHOP), method),
        (v2, "/paymentPayload/payload/signature", json!("0x"), wallet),
        (v2, "/paymentPayload/payload/signature", json!("0x01020304"), wallet),
        (v2, "/paymentPayload/payload/signature", json!(blob), undeployed),
    ] {
        assert_refused(version, pointer, &value, expected);
    }
}

#[test]
fn what_does_not_agree_is_named() {
    use RefusalKind::{
        AmountMismatch, AssetMismatch, NetworkMismatch, RecipientMismatch, SchemeMismatch,
    };
    let (v1, v2) = (Version::V1, Version::V2);
    let scheme = (SchemeMismatch, Reason::SchemeMismatch);
    let network = (NetworkMismatch, Reason::NetworkMismatch);
    let recipient = (RecipientMismatch, Reason::RecipientMismatch);
    let amount_v1 = (AmountMismatch, Reason::AmountMismatchV1);
    let amount_v2 = (AmountMismatch, Reason::AmountMismatchV2);
    let value = "/paymentPayload/payload/authorization/value";
    let name = "/paymentRequirements/extra/name";
    let number = "/paymentRequirements/extra/version";
    for (version, pointer, value, expected) in [
        (v1, "/paymentPayload/scheme", json!("upto"), scheme),
        (v2, "/paymentPayload/accepted/scheme", json!("upto"), scheme),
        (v1, "/paymentPayload/network", json!("base"), network),
        (v2, "/paymentPayload/accepted/network", json!("eip155:8453"), network),
        (
            v2,
            "/paymentPayload/accepted/asset",
            json!(SHOP),
            (AssetMismatch, Reason::InvalidPayload),
        ),
        (v2, "/paymentPayload/accepted/amount", json!("9999"), amount_v2),
        (v2, "/paymentPayload/accepted/payTo", json!(usdc().address), recipient),
        (v2, "/paymentPayload/payload/authorization/to", json!(usdc().address), recipient),
        (v1, value, json!("9999"), amount_v1),
        (v2, value, json!("10001"), amount_v2),
        (v2, name, json!("USD Coin"), (AssetMismatch, Reason::TokenNameMismatch)),
        (v2, number, json!("1"), (AssetMismatch, Reason::TokenVersionMismatch)),
    ] {
        assert_refused(version, pointer, &value, expected);
    }
}
