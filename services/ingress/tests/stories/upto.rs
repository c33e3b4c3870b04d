//! What stock x402 servers are told of payments up to an amount, without a worker that settles any.

use std::time::Duration;

use domain::{Address, SignerId};
use serde_json::{Value, json};
use testkit::{Anvil, Buyer, SignedAuthorization};
use x402::{Asset, Assets, Methods, Version};

use crate::facilitating::{ask, beside_a_chain};
use crate::shop::{Shop, Told};

const SIGNER: Address = Address::repeat_byte(0x51);
const SECOND: Address = Address::repeat_byte(0x52);
const MOST: u64 = 1_000;

/// Longer than any story takes to see a change.
const DEADLINE: Duration = Duration::from_secs(30);

async fn register(shop: &Shop, signer: Address) -> SignerId {
    let id = SignerId::new(runtime::new_uuid());
    let added = shop.database.store.register_signer(id, Anvil::CHAIN, signer).await.unwrap();
    assert!(added);
    id
}

/// A shop with a signer beside a chain, and a buyer who lets Permit2 move their money.
async fn with_signer() -> (Shop, Anvil, Buyer) {
    let (shop, anvil, buyer) = beside_a_chain(MOST).await;
    register(&shop, SIGNER).await;
    anvil.let_permit2_move(buyer.address(), MOST).await;
    (shop, anvil, buyer)
}

/// Signed up to the most, all of which is asked.
fn whole(buyer: &Buyer) -> SignedAuthorization {
    buyer.authorize().upto(SIGNER, MOST).amount(MOST).sign()
}

async fn verified(shop: &Shop, signed: &SignedAuthorization) -> Told {
    ask(shop, "/verify", &signed.body(Version::V2)).await
}

async fn settled(shop: &Shop, signed: &SignedAuthorization) -> Told {
    ask(shop, "/settle", &signed.body(Version::V2)).await
}

async fn kinds(shop: &Shop) -> Value {
    Told::by(shop.http().get(shop.url("/supported"))).await.body["kinds"].clone()
}

fn kind(signer: Address) -> Value {
    json!({
        "x402Version": 2,
        "scheme": "upto",
        "network": "eip155:84532",
        "extra": {"facilitatorAddress": signer},
    })
}

#[tokio::test]
async fn servers_are_told_the_first_signer_that_works() {
    let shop = Shop::open().await;
    let first = register(&shop, SIGNER).await;
    register(&shop, SECOND).await;
    assert!(kinds(&shop).await.as_array().unwrap().contains(&kind(SIGNER)));

    shop.database.store.pause_signer(first, "key rotation").await.unwrap();
    testkit::eventually(DEADLINE, || async {
        kinds(&shop).await.as_array()?.contains(&kind(SECOND)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_a_signer_or_a_token_for_it_there_is_no_such_kind() {
    let shop = Shop::open().await;
    let is_upto = |kind: &Value| kind["scheme"] == "upto";
    assert!(!kinds(&shop).await.as_array().unwrap().iter().any(is_upto));

    let token = Anvil::token();
    let methods = Methods { upto: None, ..token.methods };
    let assets = Assets::new([Asset { methods, ..token }]);
    let (shop, _) = Shop::builder().facilitated(assets).open().await;
    register(&shop, SIGNER).await;
    assert!(!kinds(&shop).await.as_array().unwrap().iter().any(is_upto));
    let told = verified(&shop, &whole(&Buyer::new())).await;
    assert_eq!((told.status, &told.body["isValid"]), (400, &json!(false)));
    assert_eq!(told.body["invalidReason"], "unsupported_payload_type");
}

#[tokio::test]
async fn what_its_signer_could_take_is_valid_and_what_it_could_not_is_told_with_the_reason() {
    let (shop, anvil, buyer) = with_signer().await;
    assert_eq!(verified(&shop, &whole(&buyer)).await.body["isValid"], json!(true));

    let dear = buyer.authorize().upto(SIGNER, MOST + 1).amount(MOST + 1).sign();
    let unusable = whole(&buyer);
    anvil.invalidate_permit2_nonce(buyer.address(), unusable.authorization.nonce).await;
    let strange = buyer.authorize().upto(SECOND, MOST).amount(MOST).sign();
    let part = whole(&buyer).asking(MOST - 1);
    let stranger = Buyer::new();
    for (signed, reason) in [
        (&dear, "permit2_insufficient_balance"),
        (&unusable, "permit2_invalid_nonce"),
        (&strange, "upto_facilitator_mismatch"),
        (&part, "permit2_amount_mismatch"),
        (&whole(&stranger), "permit2_insufficient_balance"),
    ] {
        let told = verified(&shop, signed).await;
        assert_eq!((told.status, &told.body["isValid"]), (200, &json!(false)), "{reason}");
        assert_eq!(told.body["invalidReason"], reason);
    }
    anvil.let_permit2_move(buyer.address(), MOST - 1).await;
    let told = verified(&shop, &whole(&buyer)).await;
    assert_eq!(told.body["invalidReason"], "permit2_allowance_required");
}

#[tokio::test]
async fn nothing_is_verified_for_a_signer_that_is_out_of_use() {
    let (shop, _anvil, buyer) = beside_a_chain(MOST).await;
    let signer = register(&shop, SIGNER).await;
    shop.database.store.pause_signer(signer, "key rotation").await.unwrap();
    let told = verified(&shop, &whole(&buyer)).await;
    assert_eq!(told.body["invalidReason"], "unexpected_verify_error");
}

#[tokio::test]
async fn what_may_not_be_taken_is_told_in_the_codes_of_x402() {
    let (shop, _anvil, buyer) = with_signer().await;
    let too_much = whole(&buyer).asking(MOST + 1);
    let strange = buyer.authorize().upto(SECOND, MOST).amount(7u64).sign();
    for (signed, reason) in [
        (too_much, "invalid_upto_evm_payload_settlement_exceeds_amount"),
        (strange, "upto_facilitator_mismatch"),
    ] {
        let told = settled(&shop, &signed).await;
        assert_eq!((told.status, &told.body["success"]), (200, &json!(false)));
        assert_eq!(
            (&told.body["errorReason"], &told.body["transaction"]),
            (&json!(reason), &json!(""))
        );
    }
    assert_eq!(shop.count("payments").await, 0);
}

#[tokio::test]
async fn what_nothing_is_asked_of_succeeds_without_a_transaction_and_is_never_taken_for_more() {
    let (shop, _anvil, buyer) = with_signer().await;
    let signed = whole(&buyer);
    let nothing = signed.asking(0);

    let told = settled(&shop, &nothing).await;
    assert_eq!((told.status, &told.body["success"]), (200, &json!(true)));
    assert_eq!((&told.body["transaction"], &told.body["amount"]), (&json!(""), &json!("0")));
    assert_eq!(told.body["extra"]["quittance"]["status"], "canceled");
    // However often it is asked.
    assert_eq!(settled(&shop, &nothing).await.body, told.body);

    for more in [1, MOST] {
        let told = settled(&shop, &signed.asking(more)).await;
        assert_eq!(
            (&told.body["success"], &told.body["errorReason"]),
            (&json!(false), &json!("duplicate_settlement"))
        );
    }
    let told = verified(&shop, &signed).await;
    assert_eq!(told.body["invalidReason"], "duplicate_settlement");
    assert_eq!(shop.count("payments").await, 1);
}

#[tokio::test]
async fn of_many_amounts_that_are_asked_at_once_one_is_taken() {
    let (shop, _anvil, buyer) = with_signer().await;
    let signed = whole(&buyer);
    let asked = (0..8u64).map(|part| {
        let (shop, signed) = (&shop, signed.asking(100 + part % 4));
        async move { settled(shop, &signed).await }
    });
    let told = futures::future::join_all(asked).await;
    let mut duplicates = 0;
    for one in &told {
        assert_eq!(one.body["success"], false, "nobody settles here");
        if one.body["errorReason"] == "duplicate_settlement" {
            duplicates += 1;
        }
    }
    assert_eq!((duplicates, shop.count("payments").await), (6, 1));
    let [payment] = shop.payments().await.try_into().unwrap();
    let method = payment.authorization.method;
    assert_eq!((method.sender(), method.most()), (Some(SIGNER), Some(MOST.into())));
}

#[tokio::test]
async fn the_payment_api_takes_no_such_scheme() {
    let (shop, _anvil, buyer) = with_signer().await;
    for signed in [whole(&buyer), whole(&buyer).asking(7)] {
        let told = Told::by(shop.post(&signed.body(Version::V2))).await;
        assert_eq!((told.status, told.code()), (422, "unsupported_scheme"));
    }
    assert_eq!(shop.count("payments").await, 0);
}
