//! Payments by Permit2 that bring a permit of their token (`eip2612GasSponsoring`), as stock clients
//! sign it.

use std::collections::HashSet;

use alloy_primitives::{b256, hex};
use domain::{Address, PERMIT2, TokenPermit, U256};
use serde_json::{Value, json};
use x402::{
    Assets, Checked, Limits, Methods, PayerSignature, Reason, Refusal, RefusalKind, SettleRequest,
    TokenDomain, Wallets, check,
};

use crate::permit2::{BOTH, request, signed, token};
use crate::{LIMITS, NOW, edited, usdc};

/// Made by viem 2.48 with the key `0x4242…42`: a signature over [`permit`] of the payment.
const SIGNATURE: [u8; 65] = hex!(
    "d75369751e2ebac4d63d35728629c4d03af4571db5c396a687e12bf6b1bd23e2"
    "010ad0495d611b679361672b16af8df0a6e2108e8397252ee262450f27a20b79"
    "1b"
);

const EXTENSION: &str = "/paymentPayload/extensions/eip2612GasSponsoring";
const INFO: &str = "/paymentPayload/extensions/eip2612GasSponsoring/info";
const TAKEN: Methods = Methods { permits: true, ..BOTH };

fn permit() -> TokenPermit {
    TokenPermit {
        nonce: U256::from(3),
        deadline: U256::from(NOW.unsigned_abs() + 60),
        signature: domain::Signature::new(SIGNATURE.to_vec()),
    }
}

/// What a stock client sends that was offered to be sponsored.
fn with_permit() -> Value {
    let info = json!({
        "from": signed().payer, "asset": usdc().address, "spender": PERMIT2, "amount": "10000",
        "nonce": "3", "deadline": (NOW + 60).to_string(),
        "signature": hex::encode_prefixed(SIGNATURE), "version": "1",
        "description": "The facilitator accepts EIP-2612 gasless Permit.",
    });
    let extensions = json!({"eip2612GasSponsoring": {"info": info, "schema": {}}});
    edited(request(), &["/paymentPayload/extensions"], &extensions)
}

fn checked_with(request: Value, methods: Methods, wallets: &Wallets) -> Result<Checked, Refusal> {
    let request: SettleRequest = serde_json::from_value(request).unwrap();
    check(&request, &Assets::new([token(methods)]), &LIMITS, wallets, NOW)
}

fn checked(request: Value) -> Result<Checked, Refusal> {
    checked_with(request, TAKEN, &Wallets::Refused)
}

fn with_wallets() -> Wallets {
    Wallets::Taken { factories: HashSet::new() }
}

#[test]
fn the_digest_and_the_signature_are_those_of_another_implementation() {
    let domain = TokenDomain::new(&usdc());
    let digest = b256!("0xe110b5d2ef922102d408441442dd40f6ced75dc2aa5bb8cbed43d44ec7f612a6");
    assert_eq!(domain.permit_digest(&signed(), permit().nonce, permit().deadline), digest);
    let signature = PayerSignature::parse(&SIGNATURE).unwrap();
    assert_eq!(signature.signer(digest), Some(signed().payer));
}

#[test]
fn a_permit_that_came_with_the_payment_is_taken_where_its_token_takes_such() {
    for wallets in [Wallets::Refused, with_wallets()] {
        let taken = checked_with(with_permit(), TAKEN, &wallets).unwrap();
        assert_eq!((taken.permit, taken.is_proven), (Some(permit()), true));
        let passed_over = checked_with(with_permit(), BOTH, &wallets).unwrap();
        assert_eq!(passed_over.permit, None);
    }
}

#[test]
fn what_a_buyer_repeats_that_has_signed_nothing_is_no_permit() {
    let offered = json!({"description": "The facilitator accepts it.", "version": "1"});
    for (pointer, value) in [
        (EXTENSION, Value::Null),
        (EXTENSION, json!({})),
        (EXTENSION, json!("yes")),
        (INFO, Value::Null),
        (INFO, json!({})),
        (INFO, offered),
        ("/paymentPayload/extensions", json!([])),
    ] {
        let request = edited(with_permit(), &[pointer], &value);
        assert_eq!(checked(request).unwrap().permit, None, "{pointer} {value}");
    }
}

#[test]
fn a_parity_of_0_or_1_is_written_as_27_or_28() {
    let mut bytes = SIGNATURE;
    bytes[64] -= 27;
    let signature = json!(hex::encode_prefixed(bytes));
    let request = edited(with_permit(), &[&format!("{INFO}/signature")], &signature);
    assert_eq!(checked(request).unwrap().permit, Some(permit()));
}

#[test]
fn each_part_that_is_wrong_is_told_in_the_codes_of_the_reference() {
    use RefusalKind::{
        AmountMismatch, AssetMismatch, AuthorizationExpired, InvalidSignature, MalformedField,
        MissingField, SchemeMismatch,
    };
    let (format, somebody) = (Reason::InvalidEip2612Extension, || json!(Address::repeat_byte(9)));
    let expired = (AuthorizationExpired, Reason::Eip2612DeadlineExpired);
    let amount = (AmountMismatch, Reason::Permit2612AmountMismatch);
    let high_s = [&SIGNATURE[..32], &[0xff; 32], &[27]].concat();
    let malformed = (MalformedField, format);
    for (member, value, told) in [
        ("from", somebody(), (InvalidSignature, Reason::Eip2612FromMismatch)),
        ("from", json!("0x12"), malformed),
        ("asset", somebody(), (AssetMismatch, Reason::Eip2612AssetMismatch)),
        ("spender", somebody(), (SchemeMismatch, Reason::Eip2612SpenderNotPermit2)),
        ("amount", json!("9999"), amount),
        ("amount", json!("10001"), amount),
        ("amount", json!(U256::MAX.to_string()), amount),
        ("amount", json!(10_000), malformed),
        ("amount", json!("0x2710"), malformed),
        ("nonce", json!("4"), (InvalidSignature, format)),
        ("nonce", json!(3), malformed),
        ("nonce", Value::Null, (MissingField, format)),
        ("deadline", json!((NOW + 61).to_string()), (InvalidSignature, format)),
        ("deadline", json!((NOW + 19).to_string()), expired),
        ("deadline", json!("0"), expired),
        ("deadline", json!("soon"), malformed),
        ("signature", Value::Null, (MissingField, format)),
        ("signature", json!("by hand"), malformed),
        ("signature", json!("0x"), malformed),
        ("signature", json!(hex::encode_prefixed(&SIGNATURE[..64])), malformed),
        ("signature", json!(hex::encode_prefixed([2; 65])), malformed),
        ("signature", json!(hex::encode_prefixed(high_s)), malformed),
        ("version", json!("2"), malformed),
        ("version", json!(1), malformed),
        ("version", Value::Null, (MissingField, format)),
    ] {
        let pointer = format!("{INFO}/{member}");
        let refusal = checked(edited(with_permit(), &[&pointer], &value)).unwrap_err();
        assert_eq!((refusal.kind, refusal.reason), told, "{member} {value}: {refusal}");
        // What was signed for another nonce or deadline is a signature over something else.
        let at = if told == (InvalidSignature, format) { "signature" } else { member };
        assert_eq!(refusal.pointer, format!("{INFO}/{at}"), "{member} {value}");
    }
    let refusal = checked(edited(with_permit(), &[INFO], &json!("signed"))).unwrap_err();
    assert_eq!((refusal.kind, refusal.reason), malformed, "{refusal}");
}

#[test]
fn a_deadline_without_end_is_taken_as_it_was_signed() {
    let far = U256::MAX;
    let digest = TokenDomain::new(&usdc()).permit_digest(&signed(), U256::from(3), far);
    let signer = crate::buyer();
    let signature = alloy::signers::SignerSync::sign_hash_sync(&signer, &digest).unwrap();
    let deadline = edited(with_permit(), &[&format!("{INFO}/deadline")], &json!(far.to_string()));
    let signature = json!(hex::encode_prefixed(signature.as_bytes()));
    let request = edited(deadline, &[&format!("{INFO}/signature")], &signature);
    assert_eq!(checked(request).unwrap().permit.unwrap().deadline, far);
}

#[test]
fn a_wallets_permit_is_taken_unproven_and_a_keys_is_not() {
    let forged = edited(
        with_permit(),
        &[&format!("{INFO}/signature")],
        &json!(hex::encode_prefixed([9; 65])),
    );
    let by_wallet = edited(
        forged.clone(),
        &["/paymentPayload/payload/signature"],
        &json!(hex::encode_prefixed([9; 65])),
    );
    let taken = checked_with(by_wallet, TAKEN, &with_wallets()).unwrap();
    assert_eq!(taken.permit.unwrap().signature.reveal(), [9; 65]);
    assert!(!taken.is_proven);
    let refusal = checked_with(forged, TAKEN, &with_wallets()).unwrap_err();
    assert_eq!(refusal.reason, Reason::InvalidEip2612Extension);
}

#[test]
fn what_is_looked_up_at_any_time_is_read_at_any_time() {
    let request: SettleRequest = serde_json::from_value(with_permit()).unwrap();
    let limits = Limits { min_validity_secs: i64::MIN / 4, max_validity_secs: i64::MAX / 4 };
    let assets = Assets::new([token(TAKEN)]);
    let late = check(&request, &assets, &limits, &Wallets::Refused, NOW + 9_000).unwrap();
    assert_eq!(late.permit, Some(permit()));
}

#[test]
fn no_refusal_repeats_the_signature() {
    let digits = hex::encode(SIGNATURE);
    for member in ["from", "nonce", "deadline", "version"] {
        let pointer = format!("{INFO}/{member}");
        let refusal = checked(edited(with_permit(), &[&pointer], &json!("4"))).unwrap_err();
        assert!(!format!("{refusal:?}").contains(&digits[..16]), "{member}");
    }
}
