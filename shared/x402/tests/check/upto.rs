//! Payments up to an amount, as stock clients sign them.

use alloy_primitives::{address, b256, hex};
use domain::{Address, Amount, Authorization, TransferMethod};
use serde_json::{Value, json};
use x402::{
    Asset, Assets, Checked, Methods, PayerSignature, Reason, Refusal, RefusalKind, Rules,
    SettleRequest, TokenDomain, Upto, Wallets, WrappedSignature, check_for,
};

use crate::{LIMITS, NOW, SHOP, authorization, edited, usdc};

const PROXY: Address = address!("0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002");
const SENDER: Address = Address::repeat_byte(0x11);
const MOST: u64 = 10_000;

/// Made by viem 2.48, by the types of `@x402/evm` 2.27.0, with the key `0x4242…42`: a signature over
/// [`signed`].
const SIGNATURE: [u8; 65] = hex!(
    "eff491e1c59b2e48404726e6a34808e1a9740b8256f9e9f4ac261145c3c4e5b8"
    "74e8681cf1c3f383638e626b16f01ffd054874b3b16f73ae6b8ae0ce7f6d29ec"
    "1c"
);

/// What was signed, of which this much is asked.
fn signed(amount: u64) -> Authorization {
    let most = Amount::from(MOST);
    Authorization {
        method: TransferMethod::Upto { spender: PROXY, sender: SENDER, most },
        amount: Amount::from(amount),
        valid_after: 1,
        // The deadline that was signed is the last second at which it is taken.
        valid_before: NOW + 61,
        ..authorization()
    }
}

/// A request that asks this much.
fn request(amount: &str) -> Value {
    let terms = json!({
        "scheme": "upto", "network": "eip155:84532", "amount": MOST.to_string(),
        "asset": usdc().address, "payTo": SHOP, "maxTimeoutSeconds": 60,
        "extra": {
            "name": "USDC", "version": "2", "assetTransferMethod": "permit2",
            "facilitatorAddress": SENDER,
        },
    });
    let request = json!({
        "x402Version": 2,
        "paymentPayload": {
            "x402Version": 2,
            "accepted": terms,
            "payload": {
                "signature": hex::encode_prefixed(SIGNATURE),
                "permit2Authorization": {
                    "from": signed(0).payer,
                    "permitted": {"token": usdc().address, "amount": MOST.to_string()},
                    "spender": PROXY,
                    "nonce": domain::U256::from_be_bytes(signed(0).nonce.0).to_string(),
                    "deadline": (NOW + 60).to_string(),
                    "witness": {"to": SHOP, "facilitator": SENDER, "validAfter": "1"},
                },
            },
        },
        "paymentRequirements": terms,
    });
    edited(request, &["/paymentRequirements/amount"], &json!(amount))
}

fn checked_by(upto: Upto, methods: Methods, request: Value) -> Result<Checked, Refusal> {
    let request: SettleRequest = serde_json::from_value(request).unwrap();
    let assets = Assets::new([Asset { methods, ..usdc() }]);
    let rules = Rules { assets: &assets, limits: &LIMITS, wallets: &Wallets::Refused };
    check_for(upto, &request, rules, NOW)
}

fn checked(upto: Upto, request: Value) -> Result<Checked, Refusal> {
    checked_by(upto, METHODS, request)
}

const METHODS: Methods =
    Methods { eip3009: true, permit2: None, upto: Some(PROXY), permits: false };

#[test]
fn the_digest_and_the_signature_are_those_of_another_implementation() {
    let domain = TokenDomain::new(&usdc());
    let digest = b256!("0xba98d00578c820a5f7b458dd20faa48f1871eda4143c7c22d86b2548137bec26");
    for asked in [0, 1, MOST] {
        assert_eq!(domain.digest(&signed(asked)), digest, "what is asked is not signed");
    }
    let signature = PayerSignature::parse(&SIGNATURE).unwrap();
    assert_eq!(signature.signer(digest), Some(signed(0).payer));
}

#[test]
fn the_whole_is_verified_and_any_part_of_it_is_settled() {
    let whole = checked(Upto::Whole, request("10000")).unwrap();
    assert_eq!((whole.authorization, whole.is_proven), (signed(MOST), true));
    for asked in [0, 1, 9_999, MOST] {
        let part = checked(Upto::Part, request(&asked.to_string())).unwrap();
        assert_eq!((part.authorization, part.is_proven), (signed(asked), true));
        assert_eq!(part.signature.reveal(), SIGNATURE);
    }
}

#[test]
fn only_the_whole_is_verified_and_no_more_is_settled() {
    for (upto, asked, kind, reason) in [
        (Upto::Whole, "9999", RefusalKind::AmountMismatch, Reason::Permit2AmountMismatch),
        (Upto::Whole, "10001", RefusalKind::AmountMismatch, Reason::Permit2AmountMismatch),
        (Upto::Whole, "0", RefusalKind::MalformedField, Reason::InvalidPaymentRequirements),
        (Upto::Part, "10001", RefusalKind::AmountMismatch, Reason::UptoExceedsAmount),
        (Upto::Part, "-1", RefusalKind::MalformedField, Reason::InvalidPaymentRequirements),
        (Upto::Refused, "10000", RefusalKind::UnsupportedScheme, Reason::UnsupportedScheme),
        (Upto::Refused, "1", RefusalKind::UnsupportedScheme, Reason::UnsupportedScheme),
    ] {
        let refusal = checked(upto, request(asked)).unwrap_err();
        assert_eq!((refusal.kind, refusal.reason), (kind, reason), "{upto:?} {asked}: {refusal}");
    }
}

#[test]
fn a_token_is_paid_in_up_to_an_amount_only_where_that_is_listed() {
    let methods = Methods { upto: None, permit2: Some(PROXY), ..METHODS };
    for upto in [Upto::Whole, Upto::Part] {
        let refusal = checked_by(upto, methods, request("10000")).unwrap_err();
        assert_eq!(refusal.reason, Reason::UnsupportedPayloadType, "{refusal}");
    }
}

#[test]
fn permit2_is_the_only_method_and_need_not_be_said() {
    let pointers = [
        "/paymentRequirements/extra/assetTransferMethod",
        "/paymentPayload/accepted/extra/assetTransferMethod",
    ];
    let unsaid = edited(request("7"), &pointers, &Value::Null);
    assert_eq!(checked(Upto::Part, unsaid).unwrap().authorization, signed(7));
    let another = edited(request("7"), &pointers, &json!("eip3009"));
    let refusal = checked(Upto::Part, another).unwrap_err();
    assert_eq!(refusal.reason, Reason::UnsupportedPayloadType);
}

#[test]
fn version_1_knows_no_such_scheme() {
    let by_token = crate::request(x402::Version::V1, &authorization());
    let request = edited(
        by_token,
        &["/paymentRequirements/scheme", "/paymentPayload/scheme"],
        &json!("upto"),
    );
    let refusal = checked(Upto::Part, request).unwrap_err();
    assert_eq!(refusal.reason, Reason::UnsupportedScheme);
}

#[test]
fn a_wallet_that_is_yet_to_be_deployed_cannot_pay_up_to_an_amount() {
    let factory = Address::repeat_byte(5);
    let wallets = Wallets::Taken { factories: [(usdc().chain, factory)].into() };
    let wrapped = WrappedSignature {
        factory,
        factory_call: vec![1].into(),
        inner: domain::Signature::new(vec![1; 90]),
    };
    let bytes = hex::encode_prefixed(wrapped.to_signature().reveal());
    let request = edited(request("7"), &["/paymentPayload/payload/signature"], &json!(bytes));
    let request: SettleRequest = serde_json::from_value(request).unwrap();
    let assets = Assets::new([Asset { methods: METHODS, ..usdc() }]);
    let rules = Rules { assets: &assets, limits: &LIMITS, wallets: &wallets };
    let refusal = check_for(Upto::Part, &request, rules, NOW).unwrap_err();
    let told = (refusal.kind, refusal.reason);
    assert_eq!(told, (RefusalKind::UnsupportedSignature, Reason::InvalidPermit2Signature));
}

#[test]
fn each_part_that_is_wrong_is_told_in_the_codes_of_the_reference() {
    let part = |path: &str| format!("/paymentPayload/payload/permit2Authorization/{path}");
    let accepted = |path: &str| format!("/paymentPayload/accepted/{path}");
    let somebody = || json!(Address::repeat_byte(9));
    for (path, value, reason) in [
        (accepted("scheme"), json!("exact"), Reason::UptoSchemeMismatch),
        (accepted("network"), json!("eip155:1"), Reason::UptoNetworkMismatch),
        (accepted("amount"), json!("9999"), Reason::Permit2AmountMismatch),
        (accepted("amount"), json!("0"), Reason::InvalidPayload),
        (accepted("payTo"), somebody(), Reason::RecipientMismatch),
        (part("spender"), somebody(), Reason::InvalidPermit2Spender),
        (part("witness/to"), somebody(), Reason::Permit2RecipientMismatch),
        // Whether it is one of our signers is asked elsewhere; here the signature is wrong.
        (part("witness/facilitator"), somebody(), Reason::InvalidPermit2Signature),
        (part("witness/facilitator"), Value::Null, Reason::InvalidPayload),
        (part("witness/facilitator"), json!("0x11"), Reason::InvalidPayload),
        (part("permitted/amount"), json!("9999"), Reason::Permit2AmountMismatch),
        (part("permitted/token"), somebody(), Reason::Permit2TokenMismatch),
        (part("deadline"), json!((NOW + 18).to_string()), Reason::Permit2DeadlineExpired),
        (part("deadline"), json!((NOW + 3_601).to_string()), Reason::Permit2DeadlineExpired),
        (part("witness/validAfter"), json!((NOW + 1).to_string()), Reason::Permit2NotYetValid),
        (part("witness/validAfter"), json!("0"), Reason::InvalidPermit2Signature),
        (part("nonce"), json!("1"), Reason::InvalidPermit2Signature),
        (part("nonce"), json!("0x01"), Reason::InvalidPayload),
        (part("from"), somebody(), Reason::InvalidPermit2Signature),
    ] {
        for (upto, asked) in [(Upto::Whole, "10000"), (Upto::Part, "7")] {
            let refusal = checked(upto, edited(request(asked), &[&path], &value)).unwrap_err();
            assert_eq!(refusal.reason, reason, "{upto:?}, {path} {value}: {refusal}");
        }
    }
}
