//! What is said of payments that only a contract wallet can vouch for.

use domain::{Address, B256, Signature};
use serde_json::json;
use testkit::{Anvil, Buyer, SignedAuthorization, WalletBehaviour};
use x402::Version;

use crate::facilitating::{ask, beside_a_chain};
use crate::shop::Shop;

const WALLET: Address = Address::repeat_byte(0xa1);
const DELEGATE: Address = Address::repeat_byte(0xde);
const REFUSED: &str = "invalid_exact_evm_signature";

impl Shop {
    async fn assert_valid(&self, signed: &SignedAuthorization) {
        let told = ask(self, "/verify", &signed.body(Version::V2)).await;
        assert_eq!((told.status, &told.body["isValid"]), (200, &json!(true)), "{}", told.body);
    }

    async fn assert_invalid(&self, signed: &SignedAuthorization, reason: &str) {
        let told = ask(self, "/verify", &signed.body(Version::V2)).await;
        assert_eq!((told.status, &told.body["isValid"]), (200, &json!(false)), "{}", told.body);
        assert_eq!(told.body["invalidReason"], reason, "{}", told.body);
    }
}

#[tokio::test]
async fn a_wallets_payment_is_valid_when_its_owner_signed_and_not_when_somebody_else_did() {
    let (shop, anvil, owner) = beside_a_chain(1_000).await;
    anvil.mint(WALLET, 1_000u64).await;
    anvil.make_wallet_of(owner.address(), WALLET).await;
    shop.assert_valid(&owner.authorize().payer(WALLET).amount(10u64).sign()).await;
    let thief = Buyer::new();
    shop.assert_invalid(&thief.authorize().payer(WALLET).amount(10u64).sign(), REFUSED).await;
    let dear = owner.authorize().payer(WALLET).amount(1_001u64).sign();
    shop.assert_invalid(&dear, "invalid_exact_evm_insufficient_balance").await;
}

#[tokio::test]
async fn a_signature_that_no_key_makes_is_judged_by_the_wallet_and_refused_without_one() {
    let (shop, anvil, buyer) = beside_a_chain(1_000).await;
    anvil.mint(WALLET, 1_000u64).await;
    anvil.make_easy_wallet(WALLET).await;
    let any = Signature::new(vec![9; 200]);
    let of_wallet = buyer.authorize().payer(WALLET).amount(10u64).sign();
    shop.assert_valid(&of_wallet.with_signature(any.clone())).await;
    let of_key = buyer.authorize().amount(10u64).sign();
    shop.assert_invalid(&of_key.with_signature(any), REFUSED).await;
}

#[tokio::test]
async fn an_account_with_a_delegate_pays_by_what_its_delegate_says() {
    let (shop, anvil, account) = beside_a_chain(1_000).await;
    let owner = Buyer::new();
    anvil.delegate_to_wallet(account.address(), DELEGATE, owner.address()).await;
    shop.assert_valid(&owner.authorize().payer(account.address()).amount(10u64).sign()).await;
    shop.assert_invalid(&account.authorize().amount(10u64).sign(), REFUSED).await;
}

#[tokio::test]
async fn a_wallet_that_is_yet_to_be_deployed_pays_by_listed_factories_alone() {
    let anvil = Anvil::start().await;
    let (wallet, signature) = Anvil::undeployed_wallet(B256::repeat_byte(7));
    anvil.mint(wallet, 1_000u64).await;
    let signed = Buyer::new().authorize().payer(wallet).amount(10u64).sign();
    let signed = signed.with_signature(signature);
    let (strict, _) = Shop::builder().node(&anvil).open().await;
    strict.assert_invalid(&signed, "eip6492_factory_not_allowed").await;
    let (shop, _) = Shop::builder().factory(Anvil::FACTORY).node(&anvil).open().await;
    shop.assert_valid(&signed).await;
}

#[tokio::test]
async fn a_wallet_that_spends_all_gas_harms_nobody_who_asks_at_the_same_time() {
    let (shop, anvil, good) = beside_a_chain(1_000).await;
    let bad = Buyer::new();
    anvil.mint(bad.address(), 1_000u64).await;
    anvil.make_wallet(bad.address()).await;
    anvil.set_wallet_behaviour(bad.address(), WalletBehaviour::BurnsGas).await;

    let asked = (0..40).map(|at| {
        let buyer = if at % 2 == 0 { &bad } else { &good };
        let body = buyer.authorize().amount(1u64).sign().body(Version::V2);
        let shop = &shop;
        async move { (at % 2 != 0, ask(shop, "/verify", &body).await) }
    });
    for (is_good, told) in futures::future::join_all(asked).await {
        assert_eq!(told.body["isValid"], json!(is_good), "{}", told.body);
    }
}

#[tokio::test]
async fn no_payment_of_a_token_that_is_not_there_is_valid() {
    let anvil = Anvil::start().await;
    let buyer = Buyer::new();
    anvil.mint(buyer.address(), 1_000u64).await;
    anvil.rpc("anvil_setCode", json!([Anvil::token().address, "0x"])).await;
    let (shop, _) = Shop::builder().node(&anvil).open().await;
    let signed = buyer.authorize().amount(10u64).sign();
    shop.assert_invalid(&signed, "asset_not_deployed_contract").await;
}
