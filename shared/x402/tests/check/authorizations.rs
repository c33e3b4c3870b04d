//! What the buyer signed: its window and its signature.

use alloy::signers::SignerSync;
use alloy_primitives::{B256, U256, hex};
use domain::{Amount, Authorization, ChainId, TransferMethod};
use proptest::prelude::*;
use serde_json::{Value, json};
use x402::{Asset, Reason, RefusalKind, TokenDomain, Version};

use crate::{
    NOW, SHOP, assert_refused, authorization, buyer, checked, edited, request, signature, usdc,
};

/// Whether an authorization with this window is taken, and why not.
fn window(valid_after: i64, valid_before: i64) -> Result<(), (RefusalKind, Reason, String)> {
    let authorization = Authorization { valid_after, valid_before, ..authorization() };
    checked(request(Version::V2, &authorization))
        .map(drop)
        .map_err(|refusal| (refusal.kind, refusal.reason, refusal.pointer))
}

#[test]
fn the_window_on_one_page() {
    use RefusalKind::{
        AuthorizationExpired as Expired, AuthorizationNotYetValid as Early,
        AuthorizationWindowTooLong as Long,
    };
    for (after, before, expected) in [
        (0, NOW + 20, Ok(())),
        (NOW, NOW + 3_600, Ok(())),
        (0, NOW + 19, Err(Expired)),
        (0, NOW, Err(Expired)),
        (0, 0, Err(Expired)),
        (0, NOW + 3_601, Err(Long)),
        (0, i64::MAX, Err(Long)),
        (NOW + 1, NOW + 60, Err(Early)),
        (i64::MAX, NOW + 60, Err(Early)),
    ] {
        let found = window(after, before);
        match found {
            Ok(()) => assert_eq!(expected, Ok(()), "{after}..{before}"),
            Err((kind, reason, pointer)) => {
                assert_eq!(expected, Err(kind), "{after}..{before}");
                let (told, at) = match kind {
                    Early => (Reason::ValidAfter, "validAfter"),
                    _ => (Reason::ValidBefore, "validBefore"),
                };
                assert_eq!(reason, told);
                assert_eq!(pointer, format!("/paymentPayload/payload/authorization/{at}"));
            }
        }
    }
}

#[test]
fn times_beyond_any_clock_are_too_long_or_too_early() {
    let end = json!(U256::MAX.to_string());
    let before = "/paymentPayload/payload/authorization/validBefore";
    let after = "/paymentPayload/payload/authorization/validAfter";
    let long = (RefusalKind::AuthorizationWindowTooLong, Reason::ValidBefore);
    assert_refused(Version::V2, before, &end, long);
    let early = (RefusalKind::AuthorizationNotYetValid, Reason::ValidAfter);
    assert_refused(Version::V2, after, &end, early);
}

#[test]
fn a_signature_over_anything_else_is_not_the_payers() {
    let invalid = (RefusalKind::InvalidSignature, Reason::InvalidSignature);
    let signature_of = |other: &Authorization| json!(hex::encode_prefixed(signature(other)));
    let at = "/paymentPayload/payload/signature";
    let good = authorization();
    for other in [
        Authorization { amount: Amount::from(10_001), ..good.clone() },
        Authorization { pay_to: usdc().address, ..good.clone() },
        Authorization { valid_after: 1, ..good.clone() },
        Authorization { valid_before: NOW + 61, ..good.clone() },
        Authorization { nonce: B256::repeat_byte(8), ..good.clone() },
        Authorization { payer: SHOP, ..good.clone() },
    ] {
        assert_refused(Version::V2, at, &signature_of(&other), invalid);
    }
    for token in [
        Asset { chain: ChainId::new(8_453).unwrap(), ..usdc() },
        Asset { address: SHOP, ..usdc() },
        Asset { name: "USD Coin".to_owned(), ..usdc() },
        Asset { version: "1".to_owned(), ..usdc() },
    ] {
        let digest = TokenDomain::new(&token).digest(&good);
        let foreign = buyer().sign_hash_sync(&digest).unwrap().as_bytes();
        let foreign = json!(hex::encode_prefixed(foreign));
        assert_refused(Version::V2, at, &foreign, invalid);
    }
}

#[test]
fn another_payers_name_on_the_authorization_is_noticed() {
    let from = "/paymentPayload/payload/authorization/from";
    let request = edited(request(Version::V2, &authorization()), &[from], &json!(SHOP));
    assert_eq!(checked(request).unwrap_err().kind, RefusalKind::InvalidSignature);
}

#[test]
fn a_refusal_never_repeats_the_signature() {
    let at = "/paymentPayload/payload/signature";
    let sent = hex::encode(signature(&authorization()));
    for text in [format!("0x{sent}00"), format!("0x{sent}zz"), sent.clone(), format!("0x1{sent}")] {
        let request = edited(request(Version::V2, &authorization()), &[at], &json!(text));
        let refusal = format!("{:?}", checked(request).unwrap_err());
        assert!(!refusal.contains(&sent[..16]), "{refusal}");
    }
}

proptest! {
    #[test]
    fn every_authorization_reads_back_as_it_was_signed(
        amount: [u64; 4], valid_after in 0..=NOW, left in 20i64..=3_600, nonce: [u8; 32],
    ) {
        let amount = Amount::new(U256::from_limbs(amount).max(U256::ONE));
        let signed = Authorization {
            method: TransferMethod::Eip3009,
            amount, valid_after, valid_before: NOW + left, nonce: B256::new(nonce), ..authorization()
        };
        let request = edited(
            request(Version::V2, &signed),
            &["/paymentRequirements/amount", "/paymentPayload/accepted/amount"],
            &json!(amount),
        );
        prop_assert_eq!(checked(request).unwrap().authorization, signed);
    }

    #[test]
    fn no_change_of_one_byte_in_the_payload_is_proven(place in 0usize..10_000, flip in 1u8..=255) {
        let plain = request(Version::V2, &authorization());
        let mut bytes = plain["paymentPayload"]["payload"].to_string().into_bytes();
        let place = place % bytes.len();
        bytes[place] ^= flip;
        let Ok(payload) = serde_json::from_slice::<Value>(&bytes) else { return Ok(()) };
        let changed = edited(plain, &["/paymentPayload/payload"], &payload);
        // A letter of a hexadecimal number may change its case: that is the same number.
        if let Ok(proven) = checked(changed) {
            prop_assert_eq!(proven.authorization, authorization());
        }
    }
}
