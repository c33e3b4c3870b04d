//! Signatures that only a contract wallet can judge.

use std::collections::HashSet;

use alloy_primitives::{Bytes, hex};
use domain::{Address, Signature};
use proptest::prelude::*;
use serde_json::json;
use x402::{PayerSignature, Reason, RefusalKind, TokenDomain, Version, Wallets, WrappedSignature};

use crate::{SHOP, authorization, checked, checked_with, edited, request, signature, usdc};

const SIGNATURE: &str = "/paymentPayload/payload/signature";
const FROM: &str = "/paymentPayload/payload/authorization/from";
const FACTORY: Address = Address::repeat_byte(0xfa);

fn taken() -> Wallets {
    Wallets::Taken { factories: HashSet::from([(usdc().chain, FACTORY)]) }
}

/// What is stored of these bytes, or how they are refused.
fn stored(wallets: &Wallets, bytes: &[u8]) -> Result<Vec<u8>, (RefusalKind, Reason)> {
    let request = request(Version::V2, &authorization());
    let request = edited(request, &[SIGNATURE], &json!(hex::encode_prefixed(bytes)));
    match checked_with(wallets, request) {
        Ok(checked) => Ok(checked.signature.reveal().to_vec()),
        Err(refusal) => {
            assert_eq!(refusal.pointer, SIGNATURE);
            Err((refusal.kind, refusal.reason))
        }
    }
}

fn wrapped(factory: Address) -> Vec<u8> {
    let call = Bytes::from_static(&[1; 40]);
    let inner = Signature::new(vec![7; 90]);
    let wrapped = WrappedSignature { factory, factory_call: call, inner };
    wrapped.to_signature().reveal().to_vec()
}

#[test]
fn signatures_on_one_page() {
    let own = signature(&authorization());
    let low: Vec<u8> = own[..64].iter().copied().chain([own[64] - 27]).collect();
    let foreign = {
        let mut bytes = own.clone();
        bytes[40] ^= 1;
        bytes
    };
    let unreadable = Err((RefusalKind::MalformedField, Reason::UnreadableSignature));
    let invalid = Err((RefusalKind::InvalidSignature, Reason::InvalidSignature));
    let unsupported = Err((RefusalKind::UnsupportedSignature, Reason::InvalidSignature));
    let no_factory = Err((RefusalKind::UnsupportedSignature, Reason::Eip6492FactoryNotAllowed));
    let broken = [vec![1; 100], wrapped(FACTORY)[wrapped(FACTORY).len() - 32..].to_vec()].concat();
    let as_it_came = |bytes: &[u8]| Ok(bytes.to_vec());
    // bytes, where wallets are taken, where they are refused
    for (bytes, with, without) in [
        (own.clone(), as_it_came(&own), as_it_came(&own)),
        (low, as_it_came(&own), as_it_came(&own)),
        (foreign.clone(), as_it_came(&foreign), invalid.clone()),
        (vec![31; 65], as_it_came(&[31; 65]), invalid.clone()),
        (vec![1; 64], as_it_came(&[1; 64]), unsupported.clone()),
        (vec![9], as_it_came(&[9]), unsupported.clone()),
        (vec![9; 8_192], as_it_came(&[9; 8_192]), unsupported.clone()),
        (vec![9; 8_193], unreadable.clone(), unreadable.clone()),
        (vec![], unreadable.clone(), unsupported),
        (wrapped(FACTORY), as_it_came(&wrapped(FACTORY)), no_factory.clone()),
        (wrapped(SHOP), no_factory.clone(), no_factory.clone()),
        (broken, unreadable, no_factory),
    ] {
        let what = format!("{} bytes from {:?}", bytes.len(), bytes.first());
        assert_eq!(stored(&taken(), &bytes), with, "{what}");
        assert_eq!(stored(&Wallets::Refused, &bytes), without, "{what}");
    }
}

#[test]
fn a_factory_of_one_network_is_none_of_another() {
    let elsewhere = domain::ChainId::new(8_453).unwrap();
    let wallets = Wallets::Taken { factories: HashSet::from([(elsewhere, FACTORY)]) };
    let refused = (RefusalKind::UnsupportedSignature, Reason::Eip6492FactoryNotAllowed);
    assert_eq!(stored(&wallets, &wrapped(FACTORY)), Err(refused));
}

#[test]
fn what_is_stored_tells_whether_the_payer_itself_signed() {
    let domain = TokenDomain::new(&usdc());
    let own = checked(request(Version::V2, &authorization())).unwrap();
    assert!(PayerSignature::proves(&domain, &own.authorization, &own.signature));
    assert!(own.is_proven, "and who checked it knows");
    let request = edited(request(Version::V2, &authorization()), &[FROM], &json!(SHOP));
    let another = checked_with(&taken(), request).unwrap();
    assert_eq!(another.authorization.payer, SHOP);
    assert!(!PayerSignature::proves(&domain, &another.authorization, &another.signature));
    assert!(!another.is_proven);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_are_proven(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(kept) = stored(&taken(), &bytes) {
            prop_assert_eq!(&kept, &bytes);
            let kept = Signature::new(kept);
            let domain = TokenDomain::new(&usdc());
            prop_assert!(!PayerSignature::proves(&domain, &authorization(), &kept));
        }
    }
}
