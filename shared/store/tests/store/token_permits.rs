//! Permits of tokens that come with payments by Permit2.

use domain::{Authorization, U256};
use store::{Acceptance, Intake};

use crate::ledger::{Ledger, authorization, intake, new, with_permit};

#[tokio::test]
async fn a_permit_is_loaded_with_its_payment_as_it_was_given() {
    let ledger = Ledger::open().await;
    let given = with_permit(ledger.seller, 3);
    let payment = new(ledger.accept(given.clone()).await);

    let signed = ledger.store().load_signed(&[payment.id]).await.unwrap().remove(0);

    assert_eq!((signed.payment, signed.signature), (payment, given.signature));
    let permit = signed.permit.unwrap();
    assert_eq!((permit.nonce, permit.deadline), (U256::from(3), U256::MAX));
    assert_eq!(Some(permit), given.permit);
}

#[tokio::test]
async fn of_payments_accepted_together_each_has_its_own_permit_or_none() {
    let ledger = Ledger::open().await;
    let method = with_permit(ledger.seller, 0).authorization.method;
    let bare = intake(ledger.seller, &Authorization { method, ..authorization() });
    let by_token = intake(ledger.seller, &authorization());
    let batch = vec![with_permit(ledger.seller, 1), bare, by_token, with_permit(ledger.seller, 2)];
    let ids: Vec<_> = batch.iter().map(|intake| intake.id).collect();
    ledger.store().accept(batch).await.unwrap();

    let loaded = ledger.store().load_signed(&ids).await.unwrap();

    for (id, nonce) in ids.iter().zip([Some(1), None, None, Some(2)]) {
        let signed = loaded.iter().find(|signed| signed.payment.id == *id).unwrap();
        let permit = signed.permit.as_ref().map(|permit| permit.nonce);
        assert_eq!(permit, nonce.map(U256::from));
    }
}

#[tokio::test]
async fn the_first_permit_of_an_authorization_stays_with_its_payment() {
    let ledger = Ledger::open().await;
    let first = with_permit(ledger.seller, 1);
    let payment = new(ledger.accept(first.clone()).await);
    let second = with_permit(ledger.seller, 2);
    let second = Intake { authorization: first.authorization.clone(), ..second };

    let again = ledger.accept(second).await;

    assert!(matches!(again, Acceptance::Existing(existing) if existing == payment));
    let signed = ledger.store().load_signed(&[payment.id]).await.unwrap().remove(0);
    assert_eq!(signed.permit, first.permit);
    assert_eq!(ledger.count("token_permits", "true").await, 1);
}

#[tokio::test]
async fn a_permit_is_within_its_bounds_and_belongs_to_one_payment() {
    let ledger = Ledger::open().await;
    new(ledger.accept(with_permit(ledger.seller, 1)).await);
    for (changes, constraint) in [
        ("nonce = -1", "token_permits_nonce_check"),
        ("deadline = -1", "token_permits_deadline_check"),
        ("signature = ''", "token_permits_signature_check"),
        ("signature = signature || '\\x00'", "token_permits_signature_check"),
        ("payment_id = gen_random_uuid()", "token_permits_payment_id_fkey"),
    ] {
        let refused = ledger.sql(&format!("update token_permits set {changes}")).await.unwrap_err();
        let refused = refused.as_database_error().and_then(|error| error.constraint());
        assert_eq!(refused, Some(constraint), "{changes}");
    }
    let again = "insert into token_permits select * from token_permits";
    let refused = ledger.sql(again).await.unwrap_err();
    let refused = refused.as_database_error().and_then(|error| error.constraint());
    assert_eq!(refused, Some("token_permits_pkey"));
}
