use domain::{Authorization, RequestTrace, Signature, TransferMethod};
use serde_json::json;
use uuid::Uuid;
use x402::Version;

use super::*;

fn checked() -> Checked {
    Checked {
        version: Version::V2,
        authorization: Authorization {
            method: TransferMethod::Eip3009,
            chain: ChainId::new(84_532).unwrap(),
            asset: Address::repeat_byte(1),
            payer: Address::repeat_byte(2),
            pay_to: Address::repeat_byte(3),
            amount: Amount::from(10_000),
            valid_after: 0,
            valid_before: 1_772_366_460,
            nonce: B256::repeat_byte(4),
        },
        signature: Signature::new(vec![5; 65]),
        is_proven: true,
        permit: None,
    }
}

fn extras() -> Extras {
    Extras {
        finality: Finality::Confirmed,
        reference: Some("order_4711".to_owned()),
        metadata: Some(json!({"a": {"c": 1, "b": [2, {"e": 3, "d": 4}]}})),
    }
}

fn nothing() -> RiskContext {
    RiskContext::default()
}

fn handed_over() -> RiskContext {
    RiskContext {
        session: Some(Uuid::from_u128(6)),
        trace: Some(Uuid::from_u128(7)),
        request: Some(RequestTrace {
            parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
            state: Some("rojo=1".to_owned()),
        }),
        mandate: Some(Mandate {
            reference: "m/1".to_owned(),
            sha256_b64url: "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU".to_owned(),
            mime: "application/json".to_owned(),
            size: 42,
        }),
    }
}

fn hex(digest: [u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_order_of_members_does_not_matter() {
    let text = r#"{"a": {"b": [2, {"d": 4, "e": 3}], "c": 1}}"#;
    let other = Extras { metadata: serde_json::from_str(text).unwrap(), ..extras() };
    assert_eq!(of(&checked(), &other, &nothing()), of(&checked(), &extras(), &nothing()));
}

#[test]
fn every_field_matters() {
    let authorized = |change: fn(&mut Authorization)| {
        let mut other = checked();
        change(&mut other.authorization);
        of(&other, &extras(), &nothing())
    };
    let added = |change: fn(&mut Extras)| {
        let mut other = extras();
        change(&mut other);
        of(&checked(), &other, &nothing())
    };
    let handed = |change: fn(&mut RiskContext)| {
        let mut other = handed_over();
        change(&mut other);
        of(&checked(), &extras(), &other)
    };
    let permit = |nonce: u64| TokenPermit {
        nonce: U256::from(nonce),
        deadline: U256::from(9),
        signature: Signature::new(vec![8; 65]),
    };
    let [with_permit, another_permit] =
        [3, 4].map(|nonce| Checked { permit: Some(permit(nonce)), ..checked() });
    let resigned = Checked { signature: Signature::new(vec![6; 65]), ..checked() };
    let digests = [
        of(&checked(), &extras(), &nothing()),
        of(&Checked { version: Version::V1, ..checked() }, &extras(), &nothing()),
        of(&resigned, &extras(), &nothing()),
        of(&with_permit, &extras(), &nothing()),
        of(&another_permit, &extras(), &nothing()),
        authorized(|a| a.chain = ChainId::new(1).unwrap()),
        authorized(|a| a.asset = Address::ZERO),
        authorized(|a| a.payer = Address::ZERO),
        authorized(|a| a.pay_to = Address::ZERO),
        authorized(|a| a.amount = Amount::ZERO),
        authorized(|a| a.valid_after = 1),
        authorized(|a| a.valid_before = 1),
        authorized(|a| a.nonce = B256::ZERO),
        added(|e| e.finality = Finality::Safe),
        added(|e| e.reference = None),
        added(|e| e.metadata = None),
        added(|e| e.metadata = Some(json!({}))),
        handed(|_| {}),
        handed(|it| it.session = None),
        handed(|it| it.session = Some(Uuid::from_u128(7))),
        handed(|it| it.trace = None),
        handed(|it| it.trace = it.session),
        handed(|it| it.request = None),
        handed(|it| it.request.as_mut().unwrap().parent.replace_range(..2, "01")),
        handed(|it| it.request.as_mut().unwrap().state = None),
        handed(|it| it.request.as_mut().unwrap().state = Some("rojo=2".to_owned())),
        handed(|it| it.mandate = None),
        handed(|it| it.mandate.as_mut().unwrap().reference.push('2')),
        handed(|it| it.mandate.as_mut().unwrap().sha256_b64url.push('=')),
        handed(|it| it.mandate.as_mut().unwrap().mime.push('5')),
        handed(|it| it.mandate.as_mut().unwrap().size = 43),
    ];
    let distinct: std::collections::HashSet<_> = digests.iter().collect();
    assert_eq!(distinct.len(), digests.len());
}

#[test]
fn the_form_is_fixed() {
    // A digest outlives the process that made it: changing the form means raising `FORM`.
    let digest = hex(of(&checked(), &extras(), &nothing()));
    assert_eq!(digest, "178390bb9d268000342e47906730b639998e00f697d804cbe426fc0b63684e40");
    let digest = hex(of(&checked(), &extras(), &handed_over()));
    assert_eq!(digest, "5a91004c0ad4778490bc884d43b05f7c2e34dd6bb768b16e00395dfb063f1f7e");
}
