//! What becomes of payments that only a contract wallet can vouch for.

use domain::{Address, B256, FailureCode, Payment, PaymentState, Signature, StateName};
use serde_json::json;
use testkit::{Anvil, Buyer, Fate, FaultyNode, WalletBehaviour};

use crate::world::World;

const WALLET: Address = Address::repeat_byte(0xa1);
const DELEGATE: Address = Address::repeat_byte(0xde);

/// A payment of a contract wallet that belongs to `owner`, signed by `signer`.
async fn of_wallet(world: &World, owner: &Buyer, signer: &Buyer) -> Payment {
    world.anvil.mint(WALLET, 100_000u64).await;
    world.anvil.make_wallet_of(owner.address(), WALLET).await;
    world.accepted(&signer.authorize().payer(WALLET).sign()).await
}

async fn assert_signature_refused(world: &World, payment: &Payment) {
    let rejected = world.wait_for(StateName::Rejected, payment.id).await;
    assert_eq!(rejected.state, PaymentState::Rejected(FailureCode::InvalidSignature));
}

#[tokio::test]
async fn a_wallets_payment_is_approved_when_its_owner_signed() {
    let world = World::start().await;
    let owner = Buyer::new();
    let payment = of_wallet(&world, &owner, &owner).await;

    let _risk = world.judge();

    world.wait_for(StateName::Approved, payment.id).await;
}

#[tokio::test]
async fn a_wallets_payment_is_rejected_when_somebody_else_signed() {
    let world = World::start().await;
    let payment = of_wallet(&world, &Buyer::new(), &Buyer::new()).await;

    let _risk = world.judge();

    assert_signature_refused(&world, &payment).await;
}

#[tokio::test]
async fn a_signature_of_any_length_is_shown_to_the_wallet() {
    let world = World::start().await;
    world.anvil.mint(WALLET, 100_000u64).await;
    world.anvil.make_easy_wallet(WALLET).await;
    let _risk = world.judge();
    for length in [1, 200, 8_192] {
        let signed = Buyer::new().authorize().payer(WALLET).sign();
        let payment = signed.with_signature(Signature::new(vec![9; length]));
        let payment = world.accepted(&payment).await;
        world.wait_for(StateName::Approved, payment.id).await;
    }
}

#[tokio::test]
async fn a_key_pairs_payment_that_somebody_else_signed_is_rejected() {
    let world = World::start().await;
    let (victim, thief) = (world.rich_buyer().await, Buyer::new());
    let forged = world.accepted(&thief.authorize().payer(victim.address()).sign()).await;
    let rubbish = victim.authorize().sign().with_signature(Signature::new(vec![1; 200]));
    let rubbish = world.accepted(&rubbish).await;

    let _risk = world.judge();

    assert_signature_refused(&world, &forged).await;
    assert_signature_refused(&world, &rubbish).await;
}

#[tokio::test]
async fn an_account_with_a_delegate_pays_by_what_its_delegate_says() {
    let world = World::start().await;
    let (account, owner) = (world.rich_buyer().await, Buyer::new());
    world.anvil.delegate_to_wallet(account.address(), DELEGATE, owner.address()).await;
    let by_owner = owner.authorize().payer(account.address()).sign();
    let by_owner = world.accepted(&by_owner).await;
    let by_key = world.accepted(&account.authorize().sign()).await;

    let _risk = world.judge();

    world.wait_for(StateName::Approved, by_owner.id).await;
    assert_signature_refused(&world, &by_key).await;
}

#[tokio::test]
async fn a_wallet_that_misbehaves_is_rejected_and_harms_nobody_beside_it() {
    use WalletBehaviour::{BurnsGas, Flipped, Reverts};
    let world = World::start().await;
    let mut bad = Vec::new();
    for behaviour in [Flipped, Reverts, BurnsGas] {
        let wallet = world.rich_buyer().await;
        world.anvil.make_wallet(wallet.address()).await;
        world.anvil.set_wallet_behaviour(wallet.address(), behaviour).await;
        bad.push(world.accepted(&wallet.authorize().sign()).await);
    }
    let good = world.accepted(&world.rich_buyer().await.authorize().sign()).await;
    let all: Vec<_> = bad.iter().chain([&good]).map(|payment| payment.id).collect();
    world.ring(&all).await;

    let _risk = world.judge();

    world.wait_for(StateName::Approved, good.id).await;
    for payment in bad {
        assert_signature_refused(&world, &payment).await;
    }
}

#[tokio::test]
async fn a_wallet_that_answers_at_length_is_understood() {
    let world = World::start().await;
    let wallet = world.rich_buyer().await;
    world.anvil.make_wallet(wallet.address()).await;
    let behaviour = WalletBehaviour::AnswersAtLength;
    world.anvil.set_wallet_behaviour(wallet.address(), behaviour).await;
    let payment = world.accepted(&wallet.authorize().sign()).await;

    let _risk = world.judge();

    world.wait_for(StateName::Approved, payment.id).await;
}

#[tokio::test]
async fn nothing_is_decided_while_the_token_refuses_for_another_reason() {
    let world = World::start().await;
    let owner = Buyer::new();
    let payment = of_wallet(&world, &owner, &owner).await;
    world.anvil.pause_token().await;
    let _risk = world.judge();
    world.ring(&[payment.id]).await;
    world.quiet().await;
    assert_eq!(world.load(payment.id).await.state, PaymentState::Accepted);

    world.anvil.unpause_token().await;

    world.wait_for(StateName::Approved, payment.id).await;
}

#[tokio::test]
async fn nothing_is_decided_from_a_nodes_error_and_the_others_do_not_wait() {
    let world = World::start().await;
    let owner = Buyer::new();
    let payment = of_wallet(&world, &owner, &owner).await;
    let beside = world.accepted(&world.rich_buyer().await.authorize().sign()).await;
    let node = FaultyNode::before(world.anvil.url()).await;
    // Only trials say how much gas they may have.
    node.obey(|method, params| match method {
        "eth_call" if params[0]["gas"].is_string() => Fate::Refused("invalid signature"),
        _ => Fate::Passed,
    });
    let _risk = world.judge_at(node.url());
    world.ring(&[payment.id, beside.id]).await;
    world.wait_for(StateName::Approved, beside.id).await;
    world.quiet().await;
    assert_eq!(world.load(payment.id).await.state, PaymentState::Accepted);

    node.obey(|_, _| Fate::Passed);

    world.wait_for(StateName::Approved, payment.id).await;
}

#[tokio::test]
async fn a_wallet_is_taken_for_deployed_when_its_factory_is_listed_and_only_then() {
    let mut world = World::start().await;
    let (wallet, signature) = Anvil::undeployed_wallet(B256::repeat_byte(1));
    world.anvil.mint(wallet, 100_000u64).await;
    let sign = || Buyer::new().authorize().payer(wallet).sign().with_signature(signature.clone());
    let unlisted = world.accepted(&sign()).await;
    let risk = world.judge();
    assert_signature_refused(&world, &unlisted).await;
    drop(risk);

    world.factories = vec![Anvil::FACTORY];
    let listed = world.accepted(&sign()).await;
    let _risk = world.judge();

    world.wait_for(StateName::Approved, listed.id).await;
    let code = world.anvil.rpc("eth_getCode", json!([wallet, "latest"])).await;
    assert_eq!(code, json!("0x"), "it was tried, and nothing else");
}
