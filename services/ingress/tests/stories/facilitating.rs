//! What stock x402 servers are told of payments, without a worker that settles any.

use domain::{Address, Scope};
use serde_json::{Value, json};
use testkit::{Anvil, Buyer, SignedAuthorization};
use x402::Version;

use crate::shop::{Shop, Told, new_seller};

/// A shop beside a chain, and a buyer with this much money.
pub(crate) async fn beside_a_chain(money: u64) -> (Shop, Anvil, Buyer) {
    let anvil = Anvil::start().await;
    let (shop, _) = Shop::builder().node(&anvil).open().await;
    let buyer = Buyer::new();
    anvil.mint(buyer.address(), money).await;
    (shop, anvil, buyer)
}

pub(crate) async fn ask(shop: &Shop, path: &str, body: &Value) -> Told {
    let token = shop.seller.token.reveal();
    Told::by(shop.http().post(shop.url(path)).bearer_auth(token).json(body)).await
}

#[tokio::test]
async fn what_is_settled_is_told_to_everybody_in_both_versions() {
    let shop = Shop::open().await;
    let told = Told::by(shop.http().get(shop.url("/supported"))).await;
    assert_eq!(told.status, 200);
    let kind =
        |version, network| json!({"x402Version": version, "scheme": "exact", "network": network});
    assert_eq!(told.body["kinds"], json!([kind(2, "eip155:84532"), kind(1, "base-sepolia")]));
    assert_eq!(told.body["extensions"], json!(["payment-identifier", "eip2612GasSponsoring"]));
    assert!(told.body["signers"]["eip155:*"].is_array());
}

#[tokio::test]
async fn a_payment_that_the_chain_would_make_is_valid_in_both_versions() {
    let (shop, _anvil, buyer) = beside_a_chain(1_000).await;
    for version in [Version::V1, Version::V2] {
        let signed = buyer.authorize().amount(1_000u64).sign();
        let told = ask(&shop, "/verify", &signed.body(version)).await;
        assert_eq!(told.status, 200);
        let payer =
            signed.body(version)["paymentPayload"]["payload"]["authorization"]["from"].clone();
        assert_eq!(told.body, json!({"isValid": true, "payer": payer}));
    }
}

#[tokio::test]
async fn what_the_chain_would_not_make_is_told_with_the_reason() {
    let (shop, anvil, buyer) = beside_a_chain(1_000).await;
    let used = buyer.authorize().amount(10u64).sign();
    let call = chain::transfer(&used.authorization, &used.signature);
    anvil.transact(call.target, &call.input).await;
    let dear = buyer.authorize().amount(5_000u64).sign();
    for (signed, reason) in [
        (&used, "invalid_exact_evm_nonce_already_used"),
        (&dear, "invalid_exact_evm_insufficient_balance"),
    ] {
        let told = ask(&shop, "/verify", &signed.body(Version::V2)).await;
        assert_eq!((told.status, &told.body["isValid"]), (200, &json!(false)));
        assert_eq!(told.body["invalidReason"], reason);
    }
}

#[tokio::test]
async fn what_permit2_would_make_is_valid_and_what_it_would_not_is_told_with_the_reason() {
    let (shop, anvil, buyer) = beside_a_chain(1_000).await;
    let signed = |amount: u64| buyer.authorize().by_permit2().amount(amount).sign();
    let verified =
        async |signed: &SignedAuthorization| ask(&shop, "/verify", &signed.body(Version::V2)).await;
    let early = verified(&signed(10)).await;
    assert_eq!(early.body["invalidReason"], "permit2_allowance_required");
    anvil.let_permit2_move(buyer.address(), 5_000u64).await;
    assert_eq!(verified(&signed(1_000)).await.body["isValid"], json!(true));

    let used = signed(10);
    let call = chain::transfer(&used.authorization, &used.signature);
    anvil.transact(call.target, &call.input).await;
    let unusable = signed(10);
    let nonce = unusable.authorization.nonce;
    anvil.invalidate_permit2_nonce(buyer.address(), nonce).await;
    for (signed, reason) in [
        (&used, "permit2_invalid_nonce"),
        (&unusable, "permit2_invalid_nonce"),
        (&signed(2_000), "permit2_insufficient_balance"),
        (&signed(5_001), "permit2_insufficient_balance"),
    ] {
        let told = verified(signed).await;
        assert_eq!((told.status, &told.body["isValid"]), (200, &json!(false)));
        assert_eq!(told.body["invalidReason"], reason);
    }
}

#[tokio::test]
async fn nothing_is_valid_while_the_node_does_not_answer() {
    let (shop, mut anvil, buyer) = beside_a_chain(1_000).await;
    anvil.kill().await;
    let signed = buyer.authorize().amount(10u64).sign();
    let told = ask(&shop, "/verify", &signed.body(Version::V2)).await;
    assert_eq!(told.body["invalidReason"], "unexpected_verify_error");
}

/// A body with this in place of what is there.
fn changed(signed: &SignedAuthorization, pointer: &str, value: Value) -> Value {
    let mut body = signed.body(Version::V2);
    *body.pointer_mut(pointer).unwrap() = value;
    body
}

#[tokio::test]
async fn what_is_wrong_is_told_in_the_codes_of_x402_to_verify_and_to_settle() {
    let (shop, _anvil, buyer) = beside_a_chain(1_000).await;
    let signed = &buyer.authorize().amount(10u64).sign();
    let somebody = json!(Address::repeat_byte(9));
    for (body, status, code) in [
        (
            changed(signed, "/paymentRequirements/scheme", json!("deferred")),
            400,
            "unsupported_scheme",
        ),
        (
            changed(signed, "/paymentRequirements/scheme", json!("upto")),
            200,
            "invalid_upto_evm_scheme",
        ),
        (
            changed(signed, "/paymentRequirements/network", json!("eip155:1")),
            400,
            "invalid_network",
        ),
        (changed(signed, "/paymentRequirements/network", json!("solana")), 400, "invalid_network"),
        (changed(signed, "/x402Version", json!(3)), 400, "invalid_x402_version"),
        (changed(signed, "/x402Version", json!("two")), 400, "invalid_x402_version"),
        (changed(signed, "/paymentPayload", json!(null)), 400, "invalid_payload"),
        (changed(signed, "/paymentPayload", json!([])), 400, "invalid_payload"),
        (changed(signed, "/paymentPayload/payload", json!({})), 400, "invalid_payload"),
        (changed(signed, "/paymentRequirements", json!(7)), 400, "invalid_payment_requirements"),
        (
            changed(signed, "/paymentPayload/payload/authorization/from", json!("0xgarbage")),
            400,
            "invalid_payload",
        ),
        (
            changed(signed, "/paymentRequirements/payTo", somebody),
            200,
            "invalid_exact_evm_recipient_mismatch",
        ),
        (
            changed(signed, "/paymentRequirements/amount", json!("11")),
            200,
            "invalid_exact_evm_payload_authorization_value_mismatch",
        ),
        (
            buyer.authorize().amount(10u64).valid_for(-5).sign().body(Version::V2),
            200,
            "invalid_exact_evm_payload_authorization_valid_before",
        ),
    ] {
        let verified = ask(&shop, "/verify", &body).await;
        assert_eq!((verified.status, &verified.body["isValid"]), (status, &json!(false)), "{body}");
        assert_eq!(verified.body["invalidReason"], code, "{body}");
        let settled = ask(&shop, "/settle", &body).await;
        assert_eq!((settled.status, &settled.body["success"]), (status, &json!(false)), "{body}");
        assert_eq!(settled.body["errorReason"], code, "{body}");
        assert!(settled.body["transaction"] == "" && settled.body["network"].is_string(), "{body}");
    }
}

#[tokio::test]
async fn what_is_no_json_or_lacks_everything_is_told_so_in_the_words_of_x402() {
    let shop = Shop::open().await;
    for path in ["/verify", "/settle"] {
        let token = shop.seller.token.reveal();
        let request = shop.http().post(shop.url(path)).bearer_auth(token);
        let request = request.header("content-type", "application/json");
        let told = Told::by(request.body("{")).await;
        assert_eq!(told.status, 400);
        assert!(told.body["isValid"] == false || told.body["success"] == false, "{}", told.body);
        let empty = ask(&shop, path, &json!({})).await;
        assert_eq!(empty.status, 400);
        let reason = empty.body.get("invalidReason").or_else(|| empty.body.get("errorReason"));
        assert_eq!(reason, Some(&json!("invalid_payload")));
    }
}

#[tokio::test]
async fn without_a_key_nobody_settles_unless_the_facilitator_is_open() {
    let shop = Shop::open().await;
    let body = Buyer::new().authorize().sign().body(Version::V2);
    for path in ["/verify", "/settle"] {
        let told = Told::by(shop.http().post(shop.url(path)).json(&body)).await;
        assert_eq!(told.status, 401);
    }
    let (shop, _) = Shop::builder().open_to_all(shop.seller.account).open().await;
    let told = Told::by(shop.http().post(shop.url("/verify")).json(&body)).await;
    // It comes as far as the chain, which this shop has none of.
    assert_eq!(told.body["invalidReason"], "unexpected_verify_error");
}

#[tokio::test]
async fn what_nobody_sends_in_time_is_taken_back_and_never_another_callers_or_on_other_terms() {
    let shop = Shop::open().await;
    let signed = Buyer::new().authorize().sign();
    let body = signed.body(Version::V2);
    let first = ask(&shop, "/settle", &body).await;
    assert_eq!(first.body["errorReason"], "unexpected_settle_error");
    assert_eq!(first.body["extra"]["quittance"]["status"], "canceled");
    // It is the same settlement, whenever it is asked for again.
    assert_eq!(ask(&shop, "/settle", &body).await.body, first.body);
    // And nobody is to work for what will not be paid.
    let verified = ask(&shop, "/verify", &body).await;
    assert_eq!(verified.body["isValid"], false);
    assert_eq!(verified.body["invalidReason"], "invalid_transaction_state");

    let elsewhere =
        changed(&signed, "/paymentPayload/resource", json!({"url": "https://b.example"}));
    let other = new_seller(&shop.database.store, &[Scope::PaymentsWrite]).await;
    let token = other.token.reveal();
    let as_other = shop.http().post(shop.url("/settle")).bearer_auth(token).json(&body);
    for told in [ask(&shop, "/settle", &elsewhere).await, Told::by(as_other).await] {
        assert_eq!((told.status, &told.body["success"]), (200, &json!(false)));
        assert_eq!(told.body["errorReason"], "duplicate_settlement");
        assert_eq!((&told.body["transaction"], told.body.get("extra")), (&json!(""), None));
    }
}

#[tokio::test]
async fn what_was_posted_to_be_settled_later_is_not_taken_back_by_who_cannot_wait() {
    let shop = Shop::open().await;
    let body = Buyer::new().authorize().sign().body(Version::V2);
    assert_eq!(Told::by(shop.post(&body)).await.status, 202);
    for _ in 0..2 {
        let told = ask(&shop, "/settle", &body).await;
        assert_eq!(told.body["errorReason"], "settlement_pending");
        assert_eq!(told.body["extra"]["quittance"]["status"], "accepted");
    }
}
