//! What is said of payments that bring a permit of their token, so that their payers need no gas.

use domain::TransferMethod;
use serde_json::{Value, json};
use testkit::{Anvil, Buyer, SignedAuthorization};
use x402::{Asset, Assets, Methods, Version};

use crate::facilitating::{ask, beside_a_chain};
use crate::shop::{Shop, Told};

const INFO: &str = "/paymentPayload/extensions/eip2612GasSponsoring/info";

fn body(signed: &SignedAuthorization) -> Value {
    signed.body(Version::V2)
}

async fn verified(shop: &Shop, signed: &SignedAuthorization) -> Value {
    ask(shop, "/verify", &body(signed)).await.body
}

#[tokio::test]
async fn it_is_offered_only_where_a_token_takes_permits() {
    let Asset { methods, .. } = Anvil::token();
    let without = Asset { methods: Methods { permits: false, ..methods }, ..Anvil::token() };
    let (shop, _) = Shop::builder().facilitated(Assets::new([without])).open().await;
    let told = Told::by(shop.http().get(shop.url("/supported"))).await;
    assert_eq!(told.body["extensions"], json!(["payment-identifier"]));
}

#[tokio::test]
async fn a_payment_with_a_permit_is_valid_although_permit2_may_move_nothing() {
    let (shop, anvil, buyer) = beside_a_chain(1_000).await;
    let signed = buyer.authorize().amount(10u64).with_permit(0).sign();
    assert_eq!(verified(&shop, &signed).await["isValid"], json!(true));
    // Somebody hands the permit in, which does no harm.
    anvil.hand_in_permit(&signed).await;
    assert_eq!(verified(&shop, &signed).await["isValid"], json!(true));
    // The next one has another nonce.
    let next = buyer.authorize().amount(20u64).with_permit(1).sign();
    assert_eq!(verified(&shop, &next).await["isValid"], json!(true));
}

#[tokio::test]
async fn many_of_one_payer_are_valid_that_ask_at_the_same_time_with_the_same_permit() {
    let (shop, _anvil, buyer) = beside_a_chain(1_000).await;
    let signed: Vec<_> =
        (0..8).map(|_| buyer.authorize().amount(10u64).with_permit(0).sign()).collect();
    let told = signed.iter().map(|signed| verified(&shop, signed));
    for told in futures::future::join_all(told).await {
        assert_eq!(told["isValid"], json!(true), "{told}");
    }
}

#[tokio::test]
async fn a_permit_that_the_token_does_not_take_is_told_as_the_missing_allowance_that_it_leaves() {
    let (shop, anvil, buyer) = beside_a_chain(1_000).await;
    let ahead = buyer.authorize().amount(10u64).with_permit(1).sign();
    let told = verified(&shop, &ahead).await;
    assert_eq!(told["invalidReason"], "permit2_allowance_required", "{told}");
    let words = told["invalidMessage"].as_str().unwrap();
    assert!(words.contains("nonce is 1") && words.contains("next one is 0"), "{words}");

    let poor = Buyer::new().authorize().amount(10u64).with_permit(0).sign();
    let told = verified(&shop, &poor).await;
    assert_eq!(told["invalidReason"], "permit2_insufficient_balance", "{told}");

    // Where Permit2 may move as much, nobody needs the permit.
    anvil.let_permit2_move(buyer.address(), 10u64).await;
    assert_eq!(verified(&shop, &ahead).await["isValid"], json!(true));
}

#[tokio::test]
async fn a_token_that_takes_no_permits_passes_over_what_comes() {
    let (shop, anvil, buyer) = beside_a_chain(1_000).await;
    drop(shop);
    let Asset { methods, .. } = Anvil::token();
    let without = Asset { methods: Methods { permits: false, ..methods }, ..Anvil::token() };
    let builder = Shop::builder().facilitated(Assets::new([without]));
    let (shop, _) = builder.node(&anvil).open().await;
    let mut body = body(&buyer.authorize().amount(10u64).with_permit(0).sign());
    *body.pointer_mut(INFO).unwrap() = json!({"from": "nobody"});
    let told = ask(&shop, "/verify", &body).await;
    assert_eq!(told.body["invalidReason"], "permit2_allowance_required", "{}", told.body);
}

#[tokio::test]
async fn what_is_wrong_with_a_permit_is_told_in_the_codes_of_the_reference() {
    let (shop, _anvil, buyer) = beside_a_chain(1_000).await;
    let right = body(&buyer.authorize().amount(10u64).with_permit(0).sign());
    let somebody = json!("0x0909090909090909090909090909090909090909");
    for (member, value, status, code, problem) in [
        ("from", somebody.clone(), 200, "eip2612_from_mismatch", "invalid_signature"),
        ("asset", somebody.clone(), 200, "eip2612_asset_mismatch", "asset_mismatch"),
        ("spender", somebody, 200, "eip2612_spender_not_permit2", "scheme_mismatch"),
        ("amount", json!("11"), 200, "permit2_2612_amount_mismatch", "amount_mismatch"),
        ("deadline", json!("1"), 200, "eip2612_deadline_expired", "authorization_expired"),
        ("nonce", json!(0), 400, "invalid_eip2612_extension_format", "malformed_field"),
        ("signature", json!("0x12"), 400, "invalid_eip2612_extension_format", "malformed_field"),
        ("version", json!("2"), 400, "invalid_eip2612_extension_format", "malformed_field"),
    ] {
        let mut body = right.clone();
        *body.pointer_mut(&format!("{INFO}/{member}")).unwrap() = value;
        let verified = ask(&shop, "/verify", &body).await;
        let told = (verified.status, &verified.body["invalidReason"]);
        assert_eq!(told, (status, &json!(code)), "{member}: {}", verified.body);
        let settled = ask(&shop, "/settle", &body).await;
        let told = (settled.status, &settled.body["errorReason"]);
        assert_eq!(told, (status, &json!(code)), "{member}: {}", settled.body);
        let posted = Told::by(shop.post(&body)).await;
        assert_eq!(posted.code(), problem, "{member}: {}", posted.body);
        assert_eq!(posted.body["errors"][0]["pointer"], format!("{INFO}/{member}"));
    }
    let mut signed_for_another = right;
    *signed_for_another.pointer_mut(&format!("{INFO}/nonce")).unwrap() = json!("7");
    let told = ask(&shop, "/settle", &signed_for_another).await;
    assert_eq!(told.body["errorReason"], "invalid_eip2612_extension_format", "{}", told.body);
    assert_eq!((shop.count("payments").await, shop.count("token_permits").await), (0, 0));
}

#[tokio::test]
async fn a_payment_is_taken_with_its_permit_by_both_doors() {
    let shop = Shop::open().await;
    let buyer = Buyer::new();
    let posted = buyer.authorize().with_permit(0).sign();
    let settled = buyer.authorize().with_permit(1).sign();
    assert_eq!(Told::by(shop.post(&body(&posted))).await.status, 202);
    assert_eq!(ask(&shop, "/settle", &body(&settled)).await.status, 200);

    let payments = shop.payments().await;
    let ids: Vec<_> = payments.iter().map(|payment| payment.id).collect();
    let stored = shop.database.store.load_signed(&ids).await.unwrap();

    assert_eq!(stored.len(), 2);
    for signed in [posted, settled] {
        let of = |it: &&store::SignedPayment| it.payment.authorization == signed.authorization;
        let stored = stored.iter().find(of).unwrap();
        assert!(matches!(stored.payment.authorization.method, TransferMethod::Permit2 { .. }));
        assert_eq!((&stored.signature, &stored.permit), (&signed.signature, &signed.permit));
    }
}

#[tokio::test]
async fn the_same_payment_with_another_permit_is_another_request_and_no_other_payment() {
    let shop = Shop::open().await;
    let signed = Buyer::new().authorize().with_permit(0).sign();
    let again = signed.clone().with_permit_signature(domain::Signature::new(vec![9; 65]));
    let mut bare = body(&signed);
    bare["paymentPayload"].as_object_mut().unwrap().remove("extensions");

    let first = Told::by(shop.post(&body(&signed)).header("Idempotency-Key", "one")).await;
    let second = Told::by(shop.post(&body(&signed)).header("Idempotency-Key", "one")).await;
    assert_eq!((first.status, second.status, first.id()), (202, 202, second.id()));
    let other = Told::by(shop.post(&bare).header("Idempotency-Key", "one")).await;
    assert_eq!(other.code(), "idempotency_key_reused", "{}", other.body);
    let existing = Told::by(shop.post(&bare)).await;
    assert_eq!((existing.status, existing.id()), (200, first.id()));
    // Nobody's permit takes the place of one that its payer has signed.
    let forged = Told::by(shop.post(&body(&again))).await;
    assert_eq!(forged.status, 422, "{}", forged.body);

    let settled = ask(&shop, "/settle", &body(&signed)).await;
    assert_eq!(settled.body["errorReason"], "settlement_pending", "{}", settled.body);
    let settled = ask(&shop, "/settle", &bare).await;
    assert_eq!(settled.body["errorReason"], "duplicate_settlement", "{}", settled.body);
    assert_eq!((shop.count("payments").await, shop.count("token_permits").await), (1, 1));
}
