//! Callers without an API key, at a facilitator that is open.

use std::time::Duration;

use domain::{Address, ChainId};
use ingress::{OpenSettings, Payees};
use queue::Quota;
use serde_json::{Value, json};
use testkit::{Anvil, Buyer, RedisServer};
use x402::{Asset, Assets, Version};

use crate::shop::{Shop, ShopBuilder, Told, new_seller, open_to_all};

/// So much at once, and nothing more while a test runs.
fn once(burst: u32) -> Quota {
    Quota { per_period: 1, period: Duration::from_secs(864_000), burst }
}

/// A shop that is open with these changes; its open account is its seller's.
async fn open_shop(builder: ShopBuilder, change: impl FnOnce(&mut OpenSettings)) -> Shop {
    let owner = Shop::open().await;
    let mut settings = open_to_all(owner.seller.account);
    change(&mut settings);
    builder.open_with(settings).open_beside(&owner).await
}

fn payment_to(payee: u8) -> Value {
    let payee = Address::repeat_byte(payee);
    Buyer::new().authorize().pay_to(payee).sign().body(Version::V2)
}

async fn ask(shop: &Shop, path: &str, body: &Value) -> Told {
    Told::by(shop.http().post(shop.url(path)).json(body)).await
}

async fn ask_from(shop: &Shop, client: &str, body: &Value) -> Told {
    let request = shop.http().post(shop.url("/verify")).header("x-forwarded-for", client);
    Told::by(request.json(body)).await
}

/// That it was let in: it comes as far as the chain, which these shops have none of.
fn assert_let_in(told: &Told) {
    assert_eq!((told.status, &told.body["isValid"]), (200, &json!(false)), "{}", told.body);
    assert_eq!(told.body["invalidReason"], "unexpected_verify_error");
}

fn assert_limited(told: &Told, policy: &str) {
    assert_eq!((told.status, told.code()), (429, "rate_limited"));
    assert!(told.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    let limit = told.header("ratelimit").unwrap();
    assert!(limit.starts_with(&format!("\"{policy}\";r=0;t=")), "{limit}");
    let expected = format!("\"{policy}\";q=1;w=864000");
    assert_eq!(told.header("ratelimit-policy"), Some(&*expected));
}

#[tokio::test]
async fn who_asks_too_often_from_one_address_waits_whichever_process_it_asks() {
    let redis = RedisServer::start().await;
    let builder = || Shop::builder().redis(redis.url());
    let shop = open_shop(builder(), |open| open.by_address = once(2)).await;
    let beside = {
        let mut open = open_to_all(shop.seller.account);
        open.by_address = once(2);
        builder().open_with(open).open_beside(&shop).await
    };
    assert_let_in(&ask(&shop, "/verify", &payment_to(1)).await);
    assert_let_in(&ask(&beside, "/verify", &payment_to(2)).await);
    for shop in [&shop, &beside] {
        assert_limited(&ask(shop, "/verify", &payment_to(3)).await, "address");
        // Nobody is believed who says that it comes from elsewhere.
        assert_limited(&ask_from(shop, "203.0.113.7", &payment_to(3)).await, "address");
    }
    // Who has a key is known.
    let token = shop.seller.token.reveal();
    for _ in 0..3 {
        let request = shop.http().post(shop.url("/verify")).bearer_auth(token);
        assert_let_in(&Told::by(request.json(&payment_to(1))).await);
    }
}

#[tokio::test]
async fn what_comes_too_often_is_not_taken() {
    let redis = RedisServer::start().await;
    let shop =
        open_shop(Shop::builder().redis(redis.url()), |open| open.by_address = once(1)).await;
    let settled = ask(&shop, "/settle", &payment_to(1)).await;
    assert_eq!(settled.status, 200);
    assert_limited(&ask(&shop, "/settle", &payment_to(2)).await, "address");
    assert_eq!(shop.count("payments").await, 1);
}

#[tokio::test]
async fn behind_a_proxy_each_client_is_one_and_all_who_pay_one_payee_share_its_limit() {
    let redis = RedisServer::start().await;
    let shop = open_shop(Shop::builder().redis(redis.url()), |open| {
        open.trusted_proxies = 1;
        open.by_address = once(1);
        open.to_payee = once(3);
    })
    .await;
    let neighbours = ["2001:db8::1", "9.9.9.9, 2001:db8::2"];
    assert_let_in(&ask_from(&shop, neighbours[0], &payment_to(1)).await);
    assert_limited(&ask_from(&shop, neighbours[1], &payment_to(1)).await, "address");
    for client in ["203.0.113.1", "203.0.113.2"] {
        assert_let_in(&ask_from(&shop, client, &payment_to(1)).await);
    }
    assert_limited(&ask_from(&shop, "203.0.113.3", &payment_to(1)).await, "payee");
    assert_let_in(&ask_from(&shop, "203.0.113.4", &payment_to(2)).await);
}

#[tokio::test]
async fn while_redis_is_away_there_is_a_limit_all_the_same() {
    let shop = open_shop(Shop::builder(), |open| {
        open.by_address = once(1);
        open.verifies_per_settle = 3;
    })
    .await;
    for _ in 0..3 {
        assert_let_in(&ask(&shop, "/verify", &payment_to(1)).await);
    }
    let limited = ask(&shop, "/verify", &payment_to(1)).await;
    assert_eq!((limited.status, limited.code()), (429, "rate_limited"));
}

#[tokio::test]
async fn who_is_not_listed_is_not_paid_for_a_stranger_but_for_a_known_account() {
    let listed = (Some(Anvil::CHAIN), Address::repeat_byte(1));
    let elsewhere = (ChainId::new(1), Address::repeat_byte(2));
    let shop = open_shop(Shop::builder(), |open| {
        open.payees = Payees::Listed([listed, elsewhere].into());
    })
    .await;
    assert_let_in(&ask(&shop, "/verify", &payment_to(1)).await);
    for payee in [2, 3] {
        let words =
            "/paymentRequirements/payTo is not somebody who is paid here without an API key";
        let told = ask(&shop, "/verify", &payment_to(payee)).await;
        assert_eq!((told.status, &told.body["isValid"]), (200, &json!(false)));
        assert_eq!(told.body["invalidReason"], "invalid_payment_requirements");
        assert_eq!(told.body["invalidMessage"], words);
        let told = ask(&shop, "/settle", &payment_to(payee)).await;
        assert_eq!((told.status, &told.body["success"]), (200, &json!(false)));
        assert_eq!(told.body["errorReason"], "invalid_payment_requirements");
        assert_eq!(told.body["errorMessage"], words);
    }
    assert_eq!(shop.count("payments").await, 0);
    let known = new_seller(&shop.database.store, &[domain::Scope::PaymentsWrite]).await;
    let request = shop.http().post(shop.url("/verify")).bearer_auth(known.token.reveal());
    assert_let_in(&Told::by(request.json(&payment_to(3))).await);
}

#[tokio::test]
async fn a_token_that_is_not_listed_is_settled_for_nobody_here_and_taken_at_the_payment_api() {
    let other = Asset { address: Address::repeat_byte(7), ..Anvil::token() };
    for (assets, kinds, status, reason) in [
        (Assets::new([other]), 2, 200, "invalid_payment_requirements"),
        (Assets::new([]), 0, 400, "invalid_network"),
    ] {
        let (shop, _) = Shop::builder().facilitated(assets).open().await;
        let supported = Told::by(shop.http().get(shop.url("/supported"))).await;
        assert_eq!(supported.body["kinds"].as_array().unwrap().len(), kinds);
        let token = shop.seller.token.reveal();
        let body = payment_to(1);
        for (path, member) in [("/verify", "invalidReason"), ("/settle", "errorReason")] {
            let told =
                Told::by(shop.http().post(shop.url(path)).bearer_auth(token).json(&body)).await;
            assert_eq!((told.status, &told.body[member]), (status, &json!(reason)), "{path}");
        }
        assert_eq!(Told::by(shop.post(&body)).await.status, 202);
    }
}
