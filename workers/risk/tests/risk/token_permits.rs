//! Payments by Permit2 whose payers have let it move nothing, and bring a permit of the token.

use domain::{Address, FailureCode, PaymentState, Signature, StateName, U256};
use runtime::Clock;
use testkit::{Buyer, SignedAuthorization};

use crate::world::World;

const REFUSED: PaymentState = PaymentState::Rejected(FailureCode::AllowanceRequired);
const WALLET: Address = Address::repeat_byte(0xa2);

#[tokio::test]
async fn a_permit_is_as_good_as_what_permit2_may_move_already() {
    let world = World::start().await;
    let buyer = world.rich_buyer().await;
    let payment = world.accepted(&buyer.authorize().with_permit(0).sign()).await;
    let without = world.accepted(&world.rich_buyer().await.authorize().by_permit2().sign()).await;
    let _risk = world.judge();
    world.ring(&[payment.id, without.id]).await;

    world.wait_for(StateName::Approved, payment.id).await;
    assert_eq!(world.wait_for(StateName::Rejected, without.id).await.state, REFUSED);
}

#[tokio::test]
async fn a_permit_that_was_handed_in_already_has_done_its_work() {
    let world = World::start().await;
    let signed = world.rich_buyer().await.authorize().with_permit(0).sign();
    let payment = world.accepted(&signed).await;
    world.anvil.hand_in_permit(&signed).await;
    let _risk = world.judge();
    world.ring(&[payment.id]).await;

    world.wait_for(StateName::Approved, payment.id).await;
}

#[tokio::test]
async fn a_permit_that_the_token_does_not_take_counts_for_nothing() {
    let world = World::start().await;
    let now = Clock::system().now_unix_secs();
    let over = U256::from(now.unsigned_abs() - 1);
    let mut refused = Vec::new();
    for signed in [
        world.rich_buyer().await.authorize().with_permit(1).sign(),
        world.rich_buyer().await.authorize().with_permit_until(0, over).sign(),
    ] {
        refused.push(world.accepted(&signed).await.id);
    }
    let _risk = world.judge();
    world.ring(&refused).await;

    for payment in refused {
        assert_eq!(world.wait_for(StateName::Rejected, payment).await.state, REFUSED);
    }
}

#[tokio::test]
async fn a_payer_with_a_permit_and_no_money_is_told_of_the_money() {
    let world = World::start().await;
    let payment = world.accepted(&Buyer::new().authorize().with_permit(0).sign()).await;
    let _risk = world.judge();
    world.ring(&[payment.id]).await;

    let rejected = world.wait_for(StateName::Rejected, payment.id).await;
    assert_eq!(rejected.state, PaymentState::Rejected(FailureCode::InsufficientFunds));
}

/// A payment of a wallet's that this owner signs, with its permit.
fn of_wallet(owner: &Buyer) -> SignedAuthorization {
    owner.authorize().payer(WALLET).with_permit(0).sign()
}

#[tokio::test]
async fn a_wallets_permit_is_tried_together_with_its_payment() {
    let world = World::start().await;
    let owner = Buyer::new();
    world.anvil.mint(WALLET, 20_000u64).await;
    world.anvil.make_wallet_of(owner.address(), WALLET).await;
    let good = world.accepted(&of_wallet(&owner)).await;
    let forged = of_wallet(&owner).with_permit_signature(Signature::new(vec![9; 65]));
    let forged = world.accepted(&forged).await;
    let _risk = world.judge();
    world.ring(&[good.id, forged.id]).await;

    world.wait_for(StateName::Approved, good.id).await;
    world.quiet().await;
    // Nothing is approved of which the token does not say that it would be paid.
    assert_eq!(world.load(forged.id).await.state, PaymentState::Accepted);
}
