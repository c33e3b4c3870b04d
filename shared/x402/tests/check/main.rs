//! Settle requests as stock clients make them, and what becomes of them.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

mod authorizations;
mod permit2;
mod refusals;
mod token_permits;
mod upto;
mod wallets;

use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{B256, address, hex};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use domain::{Address, Amount, Authorization, ChainId, TransferMethod};
use serde_json::{Value, json};
use x402::{
    Asset, Assets, Checked, Limits, Methods, Reason, Refusal, RefusalKind, SettleRequest,
    TokenDomain, Version, Wallets, check,
};

const NOW: i64 = 1_772_366_400;
const LIMITS: Limits = Limits { min_validity_secs: 20, max_validity_secs: 3_600 };
const SHOP: Address = address!("0x209693Bc6afc0C5328bA36FaF03C514EF312287C");

fn usdc() -> Asset {
    Asset {
        chain: ChainId::new(84_532).unwrap(),
        address: address!("0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
        name: "USDC".to_owned(),
        version: "2".to_owned(),
        methods: Methods::EIP3009,
    }
}

fn buyer() -> PrivateKeySigner {
    PrivateKeySigner::from_slice(&[0x42; 32]).unwrap()
}

fn authorization() -> Authorization {
    Authorization {
        method: TransferMethod::Eip3009,
        chain: usdc().chain,
        asset: usdc().address,
        payer: buyer().address(),
        pay_to: SHOP,
        amount: Amount::from(10_000),
        valid_after: 0,
        valid_before: NOW + 60,
        nonce: B256::repeat_byte(7),
    }
}

fn signature(authorization: &Authorization) -> Vec<u8> {
    let digest = TokenDomain::new(&usdc()).digest(authorization);
    buyer().sign_hash_sync(&digest).unwrap().as_bytes().to_vec()
}

/// What a stock client and a stock shop make of this authorization.
fn request(version: Version, authorization: &Authorization) -> Value {
    let payload = json!({
        "signature": hex::encode_prefixed(signature(authorization)),
        "authorization": {
            "from": authorization.payer,
            "to": authorization.pay_to,
            "value": authorization.amount,
            "validAfter": authorization.valid_after.to_string(),
            "validBefore": authorization.valid_before.to_string(),
            "nonce": authorization.nonce,
        },
    });
    let extra = json!({"name": "USDC", "version": "2"});
    match version {
        Version::V1 => json!({
            "x402Version": 1,
            "paymentPayload": {
                "x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": payload,
            },
            "paymentRequirements": {
                "scheme": "exact", "network": "base-sepolia", "maxAmountRequired": "10000",
                "resource": "https://shop.example/report", "description": "", "mimeType": "",
                "outputSchema": null, "payTo": SHOP, "maxTimeoutSeconds": 60,
                "asset": usdc().address, "extra": extra,
            },
        }),
        Version::V2 => {
            let terms = json!({
                "scheme": "exact", "network": "eip155:84532", "amount": "10000",
                "asset": usdc().address, "payTo": SHOP, "maxTimeoutSeconds": 60, "extra": extra,
            });
            json!({
                "x402Version": 2,
                "paymentPayload": {
                    "x402Version": 2, "accepted": terms, "payload": payload,
                    "resource": {"url": "https://shop.example/report"},
                    "extensions": {"payment-identifier": {"info": {"required": false}}},
                },
                "paymentRequirements": terms,
            })
        }
    }
}

/// What becomes of a request where every payer is a key pair.
fn checked(request: Value) -> Result<Checked, Refusal> {
    checked_with(&Wallets::Refused, request)
}

fn checked_with(wallets: &Wallets, request: Value) -> Result<Checked, Refusal> {
    let request: SettleRequest = serde_json::from_value(request).unwrap();
    check(&request, &Assets::new([usdc()]), &LIMITS, wallets, NOW)
}

/// The request with `value` put at each of the pointers; they need not be there yet.
fn edited(mut request: Value, pointers: &[&str], value: &Value) -> Value {
    for pointer in pointers {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        request.pointer_mut(parent).unwrap()[key] = value.clone();
    }
    request
}

/// The request with `value` at `pointer` is refused for this, and the refusal points there.
fn assert_refused(version: Version, pointer: &str, value: &Value, expected: (RefusalKind, Reason)) {
    let request = edited(request(version, &authorization()), &[pointer], value);
    let refusal = checked(request).unwrap_err();
    let told = ((refusal.kind, refusal.reason), refusal.pointer.as_str());
    assert_eq!(told, (expected, pointer), "{version:?} with {value} was told {refusal}");
}

#[test]
fn what_stock_clients_send_is_proven_in_both_versions() {
    for version in [Version::V1, Version::V2] {
        let checked = checked(request(version, &authorization())).unwrap();
        assert_eq!((checked.version, checked.authorization), (version, authorization()));
        assert_eq!(checked.signature.reveal(), signature(&authorization()));
    }
}

#[test]
fn addresses_are_read_in_any_mix_of_cases() {
    let wrong_checksum = "0x036cBD53842C5426634E7929541Ec2318F3DCf7E";
    let request = request(Version::V2, &authorization());
    let request = edited(request, &["/paymentRequirements/asset"], &json!(wrong_checksum));
    assert!(checked(request).is_ok());
}

#[test]
fn the_payment_may_be_the_text_of_its_header() {
    for version in [Version::V1, Version::V2] {
        let plain = request(version, &authorization());
        let json = plain["paymentPayload"].to_string();
        for text in [BASE64_STANDARD.encode(&json), BASE64_URL_SAFE_NO_PAD.encode(&json)] {
            let request = edited(plain.clone(), &["/paymentPayload"], &json!(text));
            assert_eq!(checked(request), checked(plain.clone()));
        }
    }
}

#[test]
fn null_counts_as_absent_where_absence_is_allowed() {
    let extra = ["/paymentRequirements/extra", "/paymentPayload/accepted/extra"];
    let plain = request(Version::V2, &authorization());
    assert!(checked(edited(plain.clone(), &extra, &Value::Null)).is_ok());
    let name = ["/paymentRequirements/extra/name", "/paymentPayload/accepted/extra/name"];
    assert!(checked(edited(plain, &name, &Value::Null)).is_ok());
}
