//! Payments that their buyers have named (`payment-identifier`), at the facilitator.

use domain::{Address, Scope};
use serde_json::{Value, json};
use testkit::Buyer;
use x402::Version;

use crate::shop::{Seller, Shop, Told, new_seller};

const ID: &str = "pay_7d5d747be160e280504c099d984bcfe0";

fn payment_to(payee: u8) -> Value {
    let payee = Address::repeat_byte(payee);
    Buyer::new().authorize().pay_to(payee).sign().body(Version::V2)
}

fn with(mut body: Value, info: &Value) -> Value {
    body["paymentPayload"]["extensions"] = json!({"payment-identifier": {"info": info}});
    body
}

/// A payment that its buyer calls so.
fn named(id: &str) -> Value {
    with(payment_to(1), &json!({"required": false, "id": id}))
}

async fn ask_as(shop: &Shop, seller: &Seller, path: &str, body: &Value) -> Told {
    let token = seller.token.reveal();
    Told::by(shop.http().post(shop.url(path)).bearer_auth(token).json(body)).await
}

async fn ask(shop: &Shop, path: &str, body: &Value) -> Told {
    ask_as(shop, &shop.seller, path, body).await
}

fn assert_is_anothers(verified: &Told, settled: &Told) {
    assert_eq!((verified.status, &verified.body["isValid"]), (409, &json!(false)));
    assert_eq!(verified.body["invalidReason"], "payment_identifier_conflict");
    assert_eq!((settled.status, &settled.body["success"]), (409, &json!(false)));
    assert_eq!(settled.body["errorReason"], "payment_identifier_conflict");
    assert_eq!((&settled.body["transaction"], settled.body.get("extra")), (&json!(""), None));
}

#[tokio::test]
async fn an_identifier_stands_for_one_payment_and_is_that_payments_whenever_it_comes_again() {
    let shop = Shop::open().await;
    let (first, other) = (named(ID), named(ID));
    let settled = ask(&shop, "/settle", &first).await;
    assert_eq!(settled.status, 200);
    let payment = &settled.body["extra"]["quittance"]["payment_id"];
    assert!(payment.is_string());
    assert_is_anothers(&ask(&shop, "/verify", &other).await, &ask(&shop, "/settle", &other).await);

    // Another process, later.
    let later = Shop::builder().open_beside(&shop).await;
    assert_eq!(ask(&later, "/settle", &first).await.body, settled.body);
    assert_eq!(ask(&later, "/verify", &first).await.status, 200);
    assert_is_anothers(
        &ask(&later, "/verify", &other).await,
        &ask(&later, "/settle", &other).await,
    );
    assert_eq!(shop.count("payments").await, 1);

    // What was refused under that name is a payment like any other under its own.
    let renamed = with(other, &json!({"id": "pay_0000000000000001"}));
    assert_eq!(ask(&shop, "/settle", &renamed).await.status, 200);
    assert_eq!(shop.count("payments").await, 2);
}

#[tokio::test]
async fn of_payments_that_come_under_one_name_at_the_same_instant_one_has_it() {
    let shop = Shop::open().await;
    let beside = Shop::builder().open_beside(&shop).await;
    let bodies: Vec<Value> = (0..8).map(|_| named(ID)).collect();
    // Each of them twice, at either process.
    let asked = bodies.iter().flat_map(|body| [(&shop, body), (&beside, body)]);
    let token = shop.seller.token.reveal();
    let asked = asked.map(|(shop, body)| {
        let request = shop.http().post(shop.url("/settle")).bearer_auth(token);
        tokio::spawn(Told::by(request.json(body)))
    });
    let mut told = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        told.push(asked.await.unwrap());
    }
    let taken: Vec<&Told> = told.iter().filter(|told| told.status == 200).collect();
    assert_eq!((taken.len(), told.iter().filter(|told| told.status == 409).count()), (2, 14));
    let payment = |told: &Told| told.body["extra"]["quittance"]["payment_id"].clone();
    assert_eq!(payment(taken[0]), payment(taken[1]));
    assert_eq!(shop.count("payments").await, 1);
}

#[tokio::test]
async fn an_identifier_that_is_missing_where_it_is_required_or_is_none_is_told_so() {
    let shop = Shop::open().await;
    let mut asked = payment_to(1);
    asked["paymentRequirements"]["extensions"] =
        json!({"payment-identifier": {"info": {"required": true}}});
    for body in [
        asked,
        with(payment_to(1), &json!({"required": true})),
        with(payment_to(1), &json!({"id": "short"})),
        with(payment_to(1), &json!({"id": "no spaces in identifiers"})),
        with(payment_to(1), &json!({"required": "yes", "id": ID})),
    ] {
        let verified = ask(&shop, "/verify", &body).await;
        assert_eq!((verified.status, &verified.body["isValid"]), (400, &json!(false)), "{body}");
        assert_eq!(verified.body["invalidReason"], "invalid_payment_identifier");
        let settled = ask(&shop, "/settle", &body).await;
        assert_eq!((settled.status, &settled.body["success"]), (400, &json!(false)), "{body}");
        assert_eq!(settled.body["errorReason"], "invalid_payment_identifier");
        assert_eq!(settled.body["network"], "eip155:84532");
    }
    assert_eq!(shop.count("payments").await, 0);
}

#[tokio::test]
async fn accounts_and_the_payees_of_strangers_have_their_names_apart() {
    let shop = Shop::open().await;
    assert_eq!(ask(&shop, "/settle", &named(ID)).await.status, 200);
    let other = new_seller(&shop.database.store, &[Scope::PaymentsWrite]).await;
    assert_eq!(ask_as(&shop, &other, "/settle", &named(ID)).await.status, 200);

    // The open account is one that has used that name with its key.
    let open = Shop::builder().open_to_all(shop.seller.account).open_beside(&shop).await;
    let of_strangers = async |payee| {
        let body = with(payment_to(payee), &json!({"id": ID}));
        Told::by(open.http().post(open.url("/settle")).json(&body)).await.status
    };
    for (payee, status) in [(1, 200), (2, 200), (1, 409), (2, 409)] {
        assert_eq!(of_strangers(payee).await, status, "{payee}");
    }
    assert_eq!(shop.count("payments").await, 4);
}

#[tokio::test]
async fn the_payment_api_goes_by_its_own_keys_and_not_by_what_buyers_call_their_payments() {
    let shop = Shop::open().await;
    for _ in 0..2 {
        assert_eq!(Told::by(shop.post(&named(ID))).await.status, 202);
    }
    assert_eq!(ask(&shop, "/settle", &named(ID)).await.status, 200);
    assert_eq!(shop.count("payments").await, 3);
}
