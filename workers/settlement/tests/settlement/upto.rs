//! Payments up to an amount: one signer alone can make each of them.

use std::time::Duration;

use domain::{Address, FailureCode, Payment, PaymentState, StateName};
use testkit::{Buyer, SignedAuthorization};

use crate::world::{DEADLINE, Running, World, ids};

const MOST: u64 = 1_000;
const ASKED: u64 = 100;

/// A lease that nobody waits for in a story.
const LONG: Duration = Duration::from_secs(600);

/// A buyer with money that Permit2 may move.
async fn buyer(world: &World) -> Buyer {
    let buyer = Buyer::new();
    world.anvil.mint(buyer.address(), MOST).await;
    world.anvil.let_permit2_move(buyer.address(), MOST).await;
    buyer
}

fn sign(world: &World, buyer: &Buyer, sender: Address) -> SignedAuthorization {
    let authorization = buyer.authorize().upto(sender, MOST).pay_to(world.pay_to);
    authorization.amount(ASKED).valid_for(600).sign()
}

async fn approved(world: &World, sender: Address) -> Payment {
    world.approve(&sign(world, &buyer(world).await, sender)).await
}

/// Who sent the transaction that paid this.
async fn payer_of_gas(world: &World, settled: &Payment) -> Address {
    let hash = settled.state.inclusion().unwrap().tx_hash;
    let receipt = world.anvil.rpc("eth_getTransactionReceipt", serde_json::json!([hash])).await;
    receipt["from"].as_str().unwrap().parse().unwrap()
}

async fn stop(running: impl IntoIterator<Item = Running>) {
    for one in running {
        one.stop().await;
    }
}

/// Waits until so many signers are leased.
async fn wait_until_leased(world: &World, count: usize) {
    testkit::eventually(DEADLINE, || async {
        let rows = world.store().list_signers().await.ok()?;
        (rows.iter().filter(|row| row.lease.is_some()).count() == count).then_some(())
    })
    .await;
}

async fn pause(world: &World, signer: Address) {
    let rows = world.store().list_signers().await.unwrap();
    let row = rows.into_iter().find(|row| row.address == signer).unwrap();
    world.store().pause_signer(row.id, "key rotation").await.unwrap();
}

#[tokio::test]
async fn each_payment_is_sent_by_the_one_signer_that_can_make_it_and_moves_what_was_asked() {
    let mut world = World::start().await;
    let senders = [world.signer(), world.add_signer().await];
    let mut payments = Vec::new();
    for number in 0..6 {
        payments.push(approved(&world, senders[number % 2]).await);
    }
    let others = ids(&world.approved_many(10).await);
    let all: Vec<_> = ids(&payments).into_iter().chain(others).collect();
    world.ring(&world.queue(), &all).await;

    let settlement = world.settle();

    world.wait_for(StateName::Settled, &all).await;
    for payment in &payments {
        let settled = world.load(payment.id).await;
        let sender = payment.authorization.method.sender().unwrap();
        assert_eq!(payer_of_gas(&world, &settled).await, sender);
    }
    world.assert_ledger_is_chain(&all).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_process_that_hears_of_anothers_payment_passes_it_on() {
    let mut world = World::start().await;
    world.policy.lease = LONG;
    world.policy.max_lanes = 1;
    let senders = [world.signer(), world.add_signer().await];
    let processes = [world.settle(), world.settle()];
    wait_until_leased(&world, 2).await;
    let mut payments = Vec::new();
    for number in 0..8 {
        payments.push(approved(&world, senders[number % 2]).await.id);
    }

    // Every bell rings once, and nobody rings again.
    world.ring(&world.queue(), &payments).await;

    testkit::eventually(DEADLINE, || async {
        let all = world.store().load(&payments).await.ok()?;
        all.iter().all(|payment| payment.state.name() == StateName::Settled).then_some(())
    })
    .await;
    world.assert_ledger_is_chain(&payments).await;
    stop(processes).await;
}

#[tokio::test]
async fn what_a_paused_signer_alone_could_send_waits_and_holds_up_nobody() {
    let mut world = World::start().await;
    let other = world.add_signer().await;
    let settlement = world.settle();
    wait_until_leased(&world, 2).await;
    pause(&world, world.signer()).await;
    let bound = approved(&world, world.signer()).await;
    world.ring(&world.queue(), &[bound.id]).await;
    let free = [approved(&world, other).await.id, world.approved(ASKED).await.id];

    world.wait_for(StateName::Settled, &free).await;

    assert_eq!(world.load(bound.id).await.state.name(), StateName::Approved);
    let rows = world.store().list_signers().await.unwrap();
    let row = rows.into_iter().find(|row| row.address == world.signer()).unwrap();
    world.store().resume_signer(row.id).await.unwrap();
    world.wait_for(StateName::Settled, &[bound.id]).await;
    world.assert_ledger_is_chain(&[free[0], free[1], bound.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn what_its_signer_never_sends_expires_on_proof() {
    let world = World::start().await;
    let buyer = buyer(&world).await;
    // Nobody here has this key.
    let signed = buyer.authorize().upto(Address::repeat_byte(0x77), MOST).pay_to(world.pay_to);
    let payment = world.approve(&signed.amount(ASKED).valid_for(8).sign()).await;
    world.ring(&world.queue(), &[payment.id]).await;

    let settlement = world.settle();

    world.wait_for(StateName::Expired, &[payment.id]).await;
    assert_eq!(world.anvil.nonce_of(world.signer()).await, 0, "nothing was sent");
    world.assert_ledger_is_chain(&[payment.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn another_signer_stores_no_transaction_for_it() {
    let mut world = World::start().await;
    let other = world.add_signer().await;
    world.policy.lease = LONG;
    world.policy.max_lanes = 1;
    let settlement = world.settle();
    wait_until_leased(&world, 1).await;
    let held = world.store().list_signers().await.unwrap();
    let held = held.into_iter().find(|row| row.lease.is_some()).unwrap().address;
    let sender = if held == other { world.signer() } else { other };
    let payment = approved(&world, sender).await;

    let refused = world.store_for_holder(&payment).await;

    assert!(refused.contains(&payment.id));
    assert_eq!(world.load(payment.id).await.state.name(), StateName::Approved);
    settlement.stop().await;
}

#[tokio::test]
async fn an_allowance_below_what_was_asked_ends_the_payment_and_one_below_the_bound_does_not() {
    let world = World::start().await;
    let (enough, too_little) = (buyer(&world).await, buyer(&world).await);
    let paid = world.approve(&sign(&world, &enough, world.signer())).await;
    let unpaid = world.approve(&sign(&world, &too_little, world.signer())).await;
    world.anvil.let_permit2_move(enough.address(), ASKED).await;
    world.anvil.let_permit2_move(too_little.address(), ASKED - 1).await;
    world.ring(&world.queue(), &[paid.id, unpaid.id]).await;

    let settlement = world.settle();

    world.wait_for(StateName::Settled, &[paid.id]).await;
    let ended = world.wait_for(StateName::Rejected, &[unpaid.id]).await.remove(0);
    assert_eq!(ended.state, PaymentState::Rejected(FailureCode::AllowanceRequired));
    world.assert_ledger_is_chain(&[paid.id, unpaid.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn what_a_crashed_process_had_stored_and_not_sent_is_sent_once_by_its_signer() {
    let world = World::start().await;
    let payment = approved(&world, world.signer()).await;
    let first = world.settle();
    wait_until_leased(&world, 1).await;
    world.store_unanswered(&payment).await;
    first.crash().await;

    let second = world.settle();

    let settled = world.wait_for(StateName::Settled, &[payment.id]).await.remove(0);
    assert_eq!(payer_of_gas(&world, &settled).await, world.signer());
    world.assert_ledger_is_chain(&[payment.id]).await;
    second.stop().await;
}
