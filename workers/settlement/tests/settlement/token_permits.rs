//! Payments by Permit2 that bring a permit of their token, because their payers have let Permit2 move
//! nothing before.

use std::time::Duration;

use domain::{Amount, FailureCode, Payment, PaymentState, StateName, U256};
use testkit::{Anvil, Buyer, SignedAuthorization};

use crate::world::{World, ids};

const MONEY: u64 = 1_000;

async fn buyer(world: &World) -> Buyer {
    let buyer = Buyer::new();
    world.anvil.mint(buyer.address(), MONEY).await;
    buyer
}

fn sign(world: &World, buyer: &Buyer, nonce: u64) -> SignedAuthorization {
    let authorization = buyer.authorize().pay_to(world.pay_to).amount(100u64);
    authorization.valid_for(600).with_permit(nonce).sign()
}

#[tokio::test]
async fn a_permit_is_handed_in_with_its_payment_which_leaves_nothing_behind() {
    let world = World::start().await;
    let buyer = buyer(&world).await;
    let payment = world.approve(&sign(&world, &buyer, 0)).await;
    world.ring(&world.queue(), &[payment.id]).await;

    let settlement = world.settle();

    world.wait_for(StateName::Settled, &[payment.id]).await;
    world.assert_ledger_is_chain(&[payment.id]).await;
    assert_eq!(world.anvil.permits_of(buyer.address()).await, U256::from(1));
    assert_eq!(world.anvil.permit2_may_move(buyer.address()).await, Amount::ZERO);
    settlement.stop().await;
}

#[tokio::test]
async fn payments_with_permits_among_others_are_all_made() {
    let world = World::start().await;
    let mut payments = ids(&world.approved_many(3).await);
    for _ in 0..2 {
        let buyer = buyer(&world).await;
        payments.push(world.approve(&sign(&world, &buyer, 0)).await.id);
    }
    // One payer signs the next permit before the first one is taken.
    let twice = buyer(&world).await;
    for nonce in [0, 1] {
        payments.push(world.approve(&sign(&world, &twice, nonce)).await.id);
    }
    world.ring(&world.queue(), &payments).await;

    let settlement = world.settle();

    world.wait_for(StateName::Settled, &payments).await;
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_permit_that_somebody_else_has_handed_in_pays_all_the_same() {
    let world = World::start().await;
    let buyer = buyer(&world).await;
    let signed = sign(&world, &buyer, 0);
    let payment = world.approve(&signed).await;
    world.anvil.hand_in_permit(&signed).await;
    world.ring(&world.queue(), &[payment.id]).await;

    let settlement = world.settle();

    world.wait_for(StateName::Settled, &[payment.id]).await;
    world.assert_ledger_is_chain(&[payment.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_permit_that_is_handed_in_while_ours_waits_for_its_block_pays_all_the_same() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let buyer = buyer(&world).await;
    let signed = sign(&world, &buyer, 0);
    let payment = world.approve(&signed).await;
    world.ring(&world.queue(), &[payment.id]).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &[payment.id]).await;
    world.wait_for_mempool(1).await;
    world.anvil.drop_pending().await;
    world.anvil.hand_in_permit(&signed).await;
    world.anvil.set_interval(Some(Duration::from_secs(1))).await;

    // The same bytes are sent again, and the token has taken the permit before them.
    world.wait_for(StateName::Settled, &[payment.id]).await;

    world.assert_ledger_is_chain(&[payment.id]).await;
    assert_eq!(world.anvil.permits_of(buyer.address()).await, U256::from(1));
    settlement.stop().await;
}

#[tokio::test]
async fn where_permit2_may_move_as_much_already_the_permit_is_left_alone() {
    let world = World::start().await;
    let buyer = buyer(&world).await;
    world.anvil.let_permit2_move(buyer.address(), MONEY).await;
    let payment = world.approve(&sign(&world, &buyer, 0)).await;
    world.ring(&world.queue(), &[payment.id]).await;

    let settlement = world.settle();

    world.wait_for(StateName::Settled, &[payment.id]).await;
    // A permit would have lowered to the payment's amount what the buyer lets Permit2 move.
    let left = world.anvil.permit2_may_move(buyer.address()).await;
    assert_eq!(left, Amount::from(MONEY - 100));
    assert_eq!(world.anvil.permits_of(buyer.address()).await, U256::ZERO);
    settlement.stop().await;
}

/// Two payments of one buyer whose permits are the same one: the token takes it once.
async fn two_with_one_permit(world: &World) -> [Payment; 2] {
    let buyer = buyer(world).await;
    let first = world.approve(&sign(world, &buyer, 0)).await;
    [first, world.approve(&sign(world, &buyer, 0)).await]
}

#[tokio::test]
async fn of_two_payments_with_the_same_permit_one_is_made_and_the_other_is_told_why_not() {
    let world = World::start().await;
    let payments = ids(&two_with_one_permit(&world).await);
    world.ring(&world.queue(), &payments).await;

    let settlement = world.settle();

    let mut ended = Vec::new();
    for payment in &payments {
        let done = testkit::eventually(crate::world::DEADLINE, || async {
            world.ring_again(&world.queue(), &payments).await;
            let payment = world.store().load(&[*payment]).await.ok()?.pop()?;
            payment.state.is_terminal().then_some(payment.state)
        });
        ended.push(done.await);
    }
    let unpaid = PaymentState::Rejected(FailureCode::AllowanceRequired);
    assert_eq!(ended.iter().filter(|state| **state == unpaid).count(), 1, "{ended:?}");
    let paid = ended.iter().filter(|state| state.name() == StateName::Settled).count();
    assert_eq!(paid, 1, "{ended:?}");
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_permit_that_the_buyer_has_made_useless_ends_the_payment() {
    let world = World::start().await;
    let buyer = buyer(&world).await;
    let payment = world.approve(&sign(&world, &buyer, 0)).await;
    // The next one is taken in its place, and its leave is taken back.
    world.anvil.hand_in_permit(&sign(&world, &buyer, 0)).await;
    world.anvil.let_permit2_move(buyer.address(), 0u64).await;
    world.ring(&world.queue(), &[payment.id]).await;

    let settlement = world.settle();

    let ended = world.wait_for(StateName::Rejected, &[payment.id]).await.remove(0);
    assert_eq!(ended.state, PaymentState::Rejected(FailureCode::AllowanceRequired));
    world.assert_ledger_is_chain(&[payment.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_process_that_crashes_between_storing_and_sending_hands_the_permit_in_once() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let buyer = buyer(&world).await;
    let payment = world.approve(&sign(&world, &buyer, 0)).await;
    world.ring(&world.queue(), &[payment.id]).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &[payment.id]).await;
    world.wait_for_mempool(1).await;
    settlement.crash().await;
    world.anvil.drop_pending().await;
    world.anvil.set_interval(Some(Duration::from_secs(1))).await;

    let settlement = world.settle();

    world.wait_for(StateName::Settled, &[payment.id]).await;
    world.assert_ledger_is_chain(&[payment.id]).await;
    assert_eq!(world.anvil.permits_of(buyer.address()).await, U256::from(1));
    settlement.stop().await;
}
