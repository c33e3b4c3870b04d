//! Payments that Permit2 makes: it logs nothing, and takes each nonce once.

use domain::{FailureCode, Payment, PaymentState, StateName};
use testkit::{Anvil, Buyer, SignedAuthorization};

use crate::world::{World, ids};

const MONEY: u64 = 1_000;

/// A buyer with money that Permit2 may move.
async fn buyer(world: &World) -> Buyer {
    let buyer = Buyer::new();
    world.anvil.mint(buyer.address(), MONEY).await;
    world.anvil.let_permit2_move(buyer.address(), MONEY).await;
    buyer
}

fn sign(world: &World, buyer: &Buyer, valid_secs: i64) -> SignedAuthorization {
    let authorization = buyer.authorize().by_permit2().pay_to(world.pay_to);
    authorization.amount(100u64).valid_for(valid_secs).sign()
}

async fn approved(world: &World, buyer: &Buyer) -> Payment {
    world.approve(&sign(world, buyer, 600)).await
}

#[tokio::test]
async fn payments_by_permit2_share_a_transaction_with_others() {
    let world = World::start().await;
    let mut payments = ids(&world.approved_many(2).await);
    for _ in 0..2 {
        payments.push(approved(&world, &buyer(&world).await).await.id);
    }
    world.ring(&world.queue(), &payments).await;

    let settlement = world.settle();

    let settled = world.wait_for(StateName::Settled, &payments).await;
    let paid_by = |payment: &Payment| payment.state.inclusion().unwrap().tx_hash;
    assert!(settled.iter().all(|payment| paid_by(payment) == paid_by(&settled[0])));
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn payments_by_permit2_that_are_alike_travel_apart_and_are_all_made() {
    let world = World::start().await;
    let buyer = buyer(&world).await;
    let mut payments = Vec::new();
    for _ in 0..3 {
        payments.push(approved(&world, &buyer).await.id);
    }
    // One of EIP-3009 that is alike as well is told by its own log.
    payments.push(world.approve(&world.sign(&buyer, 100)).await.id);
    world.ring(&world.queue(), &payments).await;

    let settlement = world.settle();

    world.wait_for(StateName::Settled, &payments).await;
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn what_a_stranger_has_redeemed_before_us_is_paid() {
    let world = World::on(Anvil::builder()).await;
    let signed = sign(&world, &buyer(&world).await, 600);
    let payment = world.approve(&signed).await;
    world.fund_stranger().await;
    world.submit_as_stranger(&signed).await;
    world.anvil.mine(40).await;
    world.ring(&world.queue(), &[payment.id]).await;

    let settlement = world.settle();

    world.wait_for(StateName::Settled, &[payment.id]).await;
    assert_eq!(world.anvil.nonce_of(world.signer()).await, 0, "nothing was left to send");
    world.assert_ledger_is_chain(&[payment.id]).await;
    settlement.stop().await;
}

/// A payment whose buyer does something about it after it was approved.
async fn spoilt(spoil: impl AsyncFn(&World, &SignedAuthorization)) -> Payment {
    let world = World::start().await;
    let signed = sign(&world, &buyer(&world).await, 600);
    let payment = world.approve(&signed).await;
    spoil(&world, &signed).await;
    world.ring(&world.queue(), &[payment.id]).await;
    let settlement = world.settle();
    let ended = world.wait_for(StateName::Rejected, &[payment.id]).await.remove(0);
    world.assert_ledger_is_chain(&[payment.id]).await;
    settlement.stop().await;
    ended
}

#[tokio::test]
async fn a_nonce_that_the_buyer_made_unusable_ends_the_payment() {
    let ended = spoilt(async |world, signed| {
        let authorization = &signed.authorization;
        world.anvil.invalidate_permit2_nonce(authorization.payer, authorization.nonce).await;
    })
    .await;
    assert_eq!(ended.state, PaymentState::Rejected(FailureCode::AuthorizationUsed));
}

#[tokio::test]
async fn an_allowance_that_the_buyer_took_back_ends_the_payment() {
    let ended = spoilt(async |world, signed| {
        world.anvil.let_permit2_move(signed.authorization.payer, 99u64).await;
    })
    .await;
    assert_eq!(ended.state, PaymentState::Rejected(FailureCode::AllowanceRequired));
}

#[tokio::test]
async fn what_lacks_its_allowance_only_in_the_block_is_tried_again() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let buyer = buyer(&world).await;
    let payment = approved(&world, &buyer).await;
    world.ring(&world.queue(), &[payment.id]).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &[payment.id]).await;
    world.wait_for_mempool(1).await;
    world.anvil.drop_pending().await;
    world.anvil.let_permit2_move(buyer.address(), 0u64).await;
    world.anvil.set_interval(Some(std::time::Duration::from_secs(1))).await;

    // It is sent again, and the block takes the money of nobody.
    let ended = world.wait_for(StateName::Rejected, &[payment.id]).await;

    assert_eq!(ended[0].state, PaymentState::Rejected(FailureCode::AllowanceRequired));
    world.assert_ledger_is_chain(&[payment.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn what_is_not_redeemed_in_time_expires() {
    let world = World::start().await;
    let buyer = buyer(&world).await;
    world.anvil.pause_token().await;
    let payment = world.approve(&sign(&world, &buyer, 8)).await;
    world.ring(&world.queue(), &[payment.id]).await;

    let settlement = world.settle();

    world.wait_for(StateName::Expired, &[payment.id]).await;
    world.assert_ledger_is_chain(&[payment.id]).await;
    settlement.stop().await;
}
