//! Contract wallets: their code runs on our gas, and need not mean what it says.

use std::time::Duration;

use domain::{Address, B256, FailureCode, Payment, PaymentState, Signature, StateName};
use serde_json::json;
use testkit::{Anvil, Buyer, Fate, FaultyNode, SignedAuthorization, WalletBehaviour};

use crate::world::{DEADLINE, World, ids};

const WALLET: Address = Address::repeat_byte(0xa1);
const DELEGATE: Address = Address::repeat_byte(0xde);

/// What `owner` signs for a wallet of theirs, which has the money.
async fn signed_for(world: &World, wallet: Address, owner: &Buyer) -> SignedAuthorization {
    world.anvil.mint(wallet, 100u64).await;
    let authorization = owner.authorize().payer(wallet).pay_to(world.pay_to);
    authorization.amount(100u64).valid_for(600).sign()
}

/// A payment of an account that has a wallet's code, like any account since EIP-7702 can have.
async fn of_wallet(world: &World, behaviour: WalletBehaviour, valid_secs: i64) -> (Buyer, Payment) {
    let wallet = Buyer::new();
    world.anvil.mint(wallet.address(), 100u64).await;
    world.anvil.make_wallet(wallet.address()).await;
    world.anvil.set_wallet_behaviour(wallet.address(), behaviour).await;
    let authorization = wallet.authorize().pay_to(world.pay_to).amount(100u64);
    let payment = world.approve(&authorization.valid_for(valid_secs).sign()).await;
    (wallet, payment)
}

#[tokio::test]
async fn a_wallets_payment_travels_alone_and_those_beside_it_together() {
    let world = World::start().await;
    let mut payments = ids(&world.approved_many(3).await);
    let (_, of_wallet) = of_wallet(&world, WalletBehaviour::Honest, 600).await;
    payments.push(of_wallet.id);
    world.ring(&world.queue(), &payments).await;

    let settlement = world.settle();

    let settled = world.wait_for(StateName::Settled, &payments).await;
    let paid_by = |payment: &&Payment| payment.state.inclusion().unwrap().tx_hash;
    let alone = settled.iter().find(|payment| payment.id == of_wallet.id).unwrap();
    let beside: Vec<_> = settled.iter().filter(|payment| payment.id != alone.id).collect();
    assert!(beside.iter().all(|payment| paid_by(payment) == paid_by(&beside[0])));
    assert_ne!(paid_by(&alone), paid_by(&beside[0]));
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn wallets_payments_that_find_no_room_wait_for_it_one_after_the_other() {
    let mut world = World::start().await;
    world.policy.max_in_flight = 1;
    // A lease that a slow machine lets run out sends away whoever waits, to be rung for again.
    world.policy.lease = Duration::from_secs(60);
    let mut payments = Vec::new();
    for _ in 0..3 {
        payments.push(of_wallet(&world, WalletBehaviour::Honest, 600).await.1.id);
    }
    world.ring(&world.queue(), &payments).await;

    let settlement = world.settle();

    // Nobody rings again.
    testkit::eventually(DEADLINE, || async {
        let loaded = world.store().load(&payments).await.ok()?;
        loaded.iter().all(|payment| payment.state.name() == StateName::Settled).then_some(())
    })
    .await;
    assert_eq!(world.anvil.nonce_of(world.signer()).await, 3);
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_wallet_that_burns_all_gas_costs_us_none_and_expires() {
    let world = World::start().await;
    let (_, burns) = of_wallet(&world, WalletBehaviour::BurnsGas, 8).await;
    let mut payments = ids(&world.approved_many(3).await);
    payments.push(burns.id);
    world.ring(&world.queue(), &payments).await;

    let settlement = world.settle();

    world.wait_for(StateName::Settled, &payments[..3]).await;
    let expired = world.wait_for(StateName::Expired, &[burns.id]).await;
    assert_eq!(expired[0].state, PaymentState::Expired);
    assert_eq!(world.anvil.nonce_of(world.signer()).await, 1, "only the batch was sent");
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn an_account_that_becomes_a_gas_burning_wallet_in_a_sent_batch_harms_its_company_once() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let turncoat = Buyer::new();
    world.anvil.mint(turncoat.address(), 100u64).await;
    // The most urgent comes first in the batch, and so burns what all the others need.
    let soon = turncoat.authorize().pay_to(world.pay_to).amount(100u64).valid_for(25).sign();
    let burns = world.approve(&soon).await;
    let honest = ids(&world.approved_many(4).await);
    let all: Vec<_> = honest.iter().copied().chain([burns.id]).collect();
    world.ring(&world.queue(), &all).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &all).await;
    world.wait_for_mempool(1).await;
    world.anvil.drop_pending().await;
    world.anvil.make_wallet(turncoat.address()).await;
    world.anvil.set_wallet_behaviour(turncoat.address(), WalletBehaviour::BurnsGas).await;
    world.anvil.set_interval(Some(Duration::from_secs(1))).await;

    world.wait_for(StateName::Settled, &honest).await;

    world.wait_for(StateName::Expired, &[burns.id]).await;
    world.assert_ledger_is_chain(&all).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_wallet_that_says_yes_to_every_question_and_no_to_every_block_is_refused_in_the_end() {
    let world = World::start().await;
    let (_, flips) = of_wallet(&world, WalletBehaviour::Flipped, 600).await;
    let node = FaultyNode::before(world.anvil.url()).await;
    node.obey(|method, _| match method {
        "eth_estimateGas" => Fate::Answered(json!("0x186a0")),
        _ => Fate::Passed,
    });

    let settlement = world.settle_at(&node.url());
    let rejected = world.wait_for(StateName::Rejected, &[flips.id]).await;

    assert_eq!(rejected[0].state, PaymentState::Rejected(FailureCode::TransferRefused));
    assert!(!FailureCode::TransferRefused.safe_to_resign(), "the authorization still lives");
    assert_eq!(world.anvil.nonce_of(world.signer()).await, 3, "no more than three tries");
    assert_eq!(world.anvil.transfers_to(world.pay_to).await, []);
    settlement.stop().await;
}

#[tokio::test]
async fn contract_wallets_pay_by_what_they_say_and_not_by_who_signed() {
    let world = World::start().await;
    let (owner, account) = (Buyer::new(), Buyer::new());
    world.anvil.make_wallet_of(owner.address(), WALLET).await;
    world.anvil.delegate_to_wallet(account.address(), DELEGATE, owner.address()).await;
    let easy = Address::repeat_byte(0xea);
    world.anvil.make_easy_wallet(easy).await;
    let long = signed_for(&world, easy, &owner).await;
    let mut payments = Vec::new();
    for signed in [
        signed_for(&world, WALLET, &owner).await,
        signed_for(&world, account.address(), &owner).await,
        long.with_signature(Signature::new(vec![9; 8_192])),
    ] {
        payments.push(world.approve(&signed).await.id);
    }
    payments.extend(ids(&world.approved_many(3).await));
    world.ring(&world.queue(), &payments).await;

    let settlement = world.settle();

    world.wait_for(StateName::Settled, &payments).await;
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_wallet_that_changes_its_mind_with_each_block_harms_nobody_beside_it() {
    let world = World::start().await;
    let (_, fickle) = of_wallet(&world, WalletBehaviour::FlippedInOddBlocks, 600).await;
    let honest = ids(&world.approved_many(3).await);
    let all: Vec<_> = honest.iter().copied().chain([fickle.id]).collect();
    world.ring(&world.queue(), &all).await;

    let settlement = world.settle();

    world.wait_for(StateName::Settled, &honest).await;
    let first = world.load(honest[0]).await.state.inclusion().unwrap().tx_hash;
    for payment in &honest {
        assert_eq!(world.load(*payment).await.state.inclusion().unwrap().tx_hash, first);
    }
    // It is paid by chance, or refused in the end.
    testkit::eventually(DEADLINE, || async {
        world.ring_again(&world.queue(), &[fickle.id]).await;
        let state = world.load(fickle.id).await.state;
        matches!(state, PaymentState::Settled { .. } | PaymentState::Rejected(_)).then_some(())
    })
    .await;
    world.assert_ledger_is_chain(&all).await;
    settlement.stop().await;
}

/// Two payments of a wallet that is yet to be deployed, approved.
async fn of_undeployed_wallet(world: &World) -> (Address, Vec<Payment>) {
    let (wallet, signature) = Anvil::undeployed_wallet(B256::repeat_byte(1));
    let mut payments = Vec::new();
    for _ in 0..2 {
        let signed = signed_for(world, wallet, &Buyer::new()).await;
        payments.push(world.approve(&signed.with_signature(signature.clone())).await);
    }
    (wallet, payments)
}

#[tokio::test]
async fn a_wallet_is_deployed_in_front_of_its_first_payment_and_not_again() {
    let mut world = World::start().await;
    world.factories = vec![Anvil::FACTORY];
    let (wallet, payments) = of_undeployed_wallet(&world).await;
    let [first, second] = [payments[0].id, payments[1].id];
    let settlement = world.settle();
    world.wait_for(StateName::Settled, &[first]).await;
    let code = world.anvil.rpc("eth_getCode", json!([wallet, "latest"])).await;
    assert_ne!(code, json!("0x"));
    let target = world.newest_transaction().await.unwrap().target;
    assert_eq!(target, Anvil::MULTICALL);

    world.wait_for(StateName::Settled, &[second]).await;

    assert_eq!(world.newest_transaction().await.unwrap().target, Anvil::TOKEN);
    world.assert_ledger_is_chain(&ids(&payments)).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_factory_that_is_not_listed_any_more_is_never_called() {
    let world = World::start().await;
    let (wallet, payments) = of_undeployed_wallet(&world).await;
    let honest = ids(&world.approved_many(1).await);
    let all: Vec<_> = ids(&payments).into_iter().chain(honest.clone()).collect();
    world.ring(&world.queue(), &all).await;

    let settlement = world.settle();

    world.wait_for(StateName::Settled, &honest).await;
    assert_eq!(world.anvil.nonce_of(world.signer()).await, 1, "only the honest one was sent");
    let code = world.anvil.rpc("eth_getCode", json!([wallet, "latest"])).await;
    assert_eq!(code, json!("0x"));
    settlement.stop().await;
}
