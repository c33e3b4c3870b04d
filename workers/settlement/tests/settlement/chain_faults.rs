//! The chain forgets, stalls and reorganises.

use std::time::Duration;

use domain::{Amount, Payment, StateName, U256};
use store::{Candidate, DecisionTerms, Decisions};
use testkit::{Anvil, Buyer, Fate, FaultyNode};

use crate::world::{DEADLINE, World, ids, now};

#[tokio::test]
async fn a_reorganisation_sends_the_same_bytes_again() {
    let mut world = World::on(Anvil::builder().mined_by_hand()).await;
    world.policy.confirmations = 3;
    let payments = ids(&world.approved_many(3).await);
    world.ring(&world.queue(), &payments).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &payments).await;
    world.wait_for_mempool(1).await;
    world.anvil.mine(1).await;
    world.wait_for(StateName::Confirmed, &payments).await;

    // The block is replaced by an empty one, and the mempool is empty too.
    world.anvil.reorg(1).await;
    world.wait_for(StateName::Submitted, &payments).await;

    world.anvil.set_interval(Some(Duration::from_secs(1))).await;
    world.wait_for(StateName::Settled, &payments).await;
    world.assert_ledger_is_chain(&payments).await;
    let states = world.states(payments[0]).await;
    assert_eq!(
        states,
        ["accepted", "approved", "submitted", "confirmed", "submitted", "confirmed", "settled"]
    );
    settlement.stop().await;
}

#[tokio::test]
async fn a_transaction_that_the_mempool_forgot_is_sent_again() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let payment = world.approved(100).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &[payment.id]).await;

    world.wait_for_mempool(1).await;

    world.anvil.drop_pending().await;
    world.anvil.set_interval(Some(Duration::from_secs(1))).await;

    world.wait_for(StateName::Settled, &[payment.id]).await;
    world.assert_ledger_is_chain(&[payment.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_transaction_that_pays_too_little_is_replaced_and_paid_once() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let payment = world.approved(100).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &[payment.id]).await;
    // The price of gas rises far above what was offered, so that blocks leave it lying.
    let dear = format!("{:#x}", 100_000_000_000u64);
    world.anvil.rpc("anvil_setNextBlockBaseFeePerGas", serde_json::json!([dear])).await;
    world.anvil.mine(1).await;
    assert_eq!(world.load(payment.id).await.state.name(), StateName::Submitted);

    world.anvil.set_interval(Some(Duration::from_secs(1))).await;
    let settled = world.wait_for(StateName::Settled, &[payment.id]).await;

    world.assert_ledger_is_chain(&[payment.id]).await;
    let mined = settled[0].state.inclusion().unwrap().tx_hash;
    let first = world.store().timeline(payment.id).await.unwrap()[2].detail["tx_hash"].clone();
    assert_ne!(first, serde_json::json!(mined), "the first offer was mined after all");
    settlement.stop().await;
}

#[tokio::test]
async fn a_node_that_dies_and_comes_back_is_waited_for() {
    let mut world = World::start().await;
    world.policy.confirmations = 4;
    let payments = ids(&world.approved_many(10).await);
    world.ring(&world.queue(), &payments).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &payments).await;

    world.anvil.kill().await;
    world.anvil.start_again().await;

    world.wait_for(StateName::Settled, &payments).await;
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_signer_without_gas_money_waits_for_it_and_goes_on_by_itself() {
    let world = World::start().await;
    let signer = world.signer();
    world.anvil.set_balance(signer, U256::ZERO).await;
    let payment = world.approved(100).await;
    let settlement = world.settle();
    testkit::eventually(DEADLINE, || async {
        let queue = world.queue();
        world.ring(&queue, &[payment.id]).await;
        let state = world.load(payment.id).await.state.name();
        matches!(state, StateName::Submitted | StateName::Approved).then_some(())
    })
    .await;

    world.anvil.set_balance(signer, U256::from(10u64.pow(18))).await;

    world.wait_for(StateName::Settled, &[payment.id]).await;
    world.assert_ledger_is_chain(&[payment.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_hole_in_the_nonces_is_filled_so_that_what_follows_is_mined() {
    let world = World::start().await;
    let first = world.approved(100).await;
    let settlement = world.settle();
    world.wait_for(StateName::Settled, &[first.id]).await;
    settlement.stop().await;
    // A nonce was handed out and nothing is stored for it.
    let pool = world.store().pool();
    sqlx::raw_sql("update signers set next_nonce = next_nonce + 1").execute(pool).await.unwrap();

    let settlement = world.settle();
    let second = world.approved(100).await;
    world.wait_for(StateName::Settled, &[second.id]).await;

    world.assert_ledger_is_chain(&[first.id, second.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_block_that_may_be_undone_gives_no_payment_back() {
    let mut world = World::on(Anvil::builder().mined_by_hand()).await;
    world.policy.confirmations = 100;
    let proxy = FaultyNode::before(world.anvil.url()).await;
    let takes_nothing = |method: &str, _: &mut serde_json::Value| match method {
        "eth_sendRawTransaction" => Fate::Refused("not now"),
        _ => Fate::Passed,
    };
    proxy.obey(takes_nothing);
    let payment = world.approved(100).await;
    let settlement = world.settle_at(&proxy.url());
    world.wait_for(StateName::Submitted, &[payment.id]).await;
    // The token is paused before it is mined, so that it is mined in vain.
    world.anvil.pause_token().await;
    proxy.behave();
    let height = world.mine_until_mined().await;

    proxy.obey(takes_nothing);
    world.anvil.reorg(world.anvil.block_number().await - height + 1).await;
    world.wait_for_reorg().await;
    world.anvil.unpause_token().await;
    proxy.behave();
    world.mine_until_mined().await;
    world.anvil.mine(100).await;

    world.wait_for(StateName::Settled, &[payment.id]).await;
    world.assert_ledger_is_chain(&[payment.id]).await;
    assert_eq!(
        world.states(payment.id).await,
        ["accepted", "approved", "submitted", "confirmed", "settled"]
    );
    settlement.stop().await;
}

#[tokio::test]
async fn what_the_chain_forgot_after_it_was_final_is_sent_again() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let first = world.approved(100).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &[first.id]).await;
    world.wait_for_mempool(1).await;
    world.anvil.mine(1).await;
    world.wait_for(StateName::Settled, &[first.id]).await;

    // One confirmation was called enough, and was not.
    world.anvil.reorg(1).await;
    world.anvil.set_interval(Some(Duration::from_secs(1))).await;
    let second = world.approved(100).await;

    world.wait_for(StateName::Settled, &[second.id]).await;
    world.assert_ledger_is_chain(&[first.id, second.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn what_the_chain_forgot_while_nobody_looked_is_sent_again() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let first = world.approved(100).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &[first.id]).await;
    world.wait_for_mempool(1).await;
    world.anvil.mine(1).await;
    world.wait_for(StateName::Settled, &[first.id]).await;
    settlement.stop().await;
    world.anvil.reorg(1).await;
    world.anvil.set_interval(Some(Duration::from_secs(1))).await;

    let settlement = world.settle();
    let second = world.approved(100).await;

    world.wait_for(StateName::Settled, &[second.id]).await;
    world.assert_ledger_is_chain(&[first.id, second.id]).await;
    settlement.stop().await;
}

/// A candidate for risk to decide on: what its payer has, by a block of now.
async fn candidate(world: &World, payment: Payment) -> Candidate {
    let balance = world.anvil.balance_of(payment.authorization.payer).await;
    Candidate { payment, balance, as_of: now(), decide_by: now().plus(DEADLINE * 5) }
}

/// What risk says of these.
async fn decide(world: &World, candidates: Vec<Candidate>) -> Decisions {
    let terms = DecisionTerms { validity: DEADLINE * 10, engine: None, now: now() };
    world.store().decide(candidates, Vec::new(), &terms).await.unwrap()
}

#[tokio::test]
async fn what_a_reorganisation_brings_back_counts_against_its_payers_balance_again() {
    let mut world = World::on(Anvil::builder().mined_by_hand()).await;
    world.policy.confirmations = 5;
    let buyer = Buyer::new();
    world.anvil.mint(buyer.address(), 100u64).await;
    let paid = world.seller.accept(world.store(), &world.sign(&buyer, 60)).await;
    let other = world.seller.accept(world.store(), &world.sign(&buyer, 60)).await;
    let decided = decide(&world, vec![candidate(&world, paid.clone()).await]).await;
    assert_eq!(decided.advance.moved().count(), 1);
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &[paid.id]).await;
    world.wait_for_mempool(1).await;
    world.anvil.mine(1).await;
    world.wait_for(StateName::Confirmed, &[paid.id]).await;
    // Long enough ago that the balance alone tells of it, and nobody keeps a note.
    let long_after = now().plus(Duration::from_secs(3_600));
    assert_eq!(world.store().sweep_approvals(10, long_after).await.unwrap(), 1);
    world.anvil.reorg(1).await;
    world.wait_for(StateName::Submitted, &[paid.id]).await;

    // The payer has everything again, and one of the two payments is on its way.
    let again = candidate(&world, other).await;
    assert_eq!(again.balance, Amount::from(100));
    let decided = decide(&world, vec![again]).await;

    assert_eq!((decided.advance.moved().count(), decided.waiting), (0, 1));
    world.anvil.set_interval(Some(Duration::from_secs(1))).await;
    world.wait_for(StateName::Settled, &[paid.id]).await;
    world.assert_ledger_is_chain(&[paid.id]).await;
    settlement.stop().await;
}
