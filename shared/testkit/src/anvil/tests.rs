use alloy_sol_types::{SolCall, sol};
use domain::Signature;

use super::*;
use crate::Buyer;

sol! {
    function transferWithAuthorization(
        address from, address to, uint256 value, uint256 validAfter, uint256 validBefore,
        bytes32 nonce, bytes signature
    ) external;
}

/// The call that a settler would make.
fn settle(authorization: &domain::Authorization, signature: &Signature) -> Vec<u8> {
    transferWithAuthorizationCall {
        from: authorization.payer,
        to: authorization.pay_to,
        value: authorization.amount.units(),
        validAfter: authorization.valid_after.try_into().unwrap(),
        validBefore: authorization.valid_before.try_into().unwrap(),
        nonce: authorization.nonce,
        signature: signature.reveal().to_vec().into(),
    }
    .abi_encode()
}

#[tokio::test]
async fn a_buyers_authorization_moves_money_once_on_the_test_token() {
    let anvil = Anvil::start().await;
    let buyer = Buyer::new();
    anvil.mint(buyer.address(), 10_000).await;
    let signed = buyer.authorize().amount(4_000).sign();
    let (authorization, signature) = (&signed.authorization, &signed.signature);

    let hash = anvil.transact(Anvil::TOKEN, &settle(authorization, signature)).await;

    assert!(anvil.authorization_used(buyer.address(), authorization.nonce).await);
    assert_eq!(anvil.balance_of(buyer.address()).await, 6_000.into());
    let moved = anvil.transfers_to(authorization.pay_to).await;
    assert_eq!(moved.len(), 1);
    assert_eq!((moved[0].tx_hash, moved[0].amount), (hash, 4_000.into()));
}

#[tokio::test]
async fn a_killed_chain_comes_back_with_its_blocks_at_its_address() {
    let mut anvil = Anvil::start().await;
    let (url, someone) = (anvil.url(), Buyer::new().address());
    anvil.mint(someone, 7).await;
    let height = anvil.block_number().await;
    anvil.kill().await;
    anvil.start_again().await;
    assert_eq!((anvil.url(), anvil.block_number().await), (url, height));
    assert_eq!(anvil.balance_of(someone).await, 7.into());
    anvil.mint(someone, 1).await;
    assert_eq!(anvil.transfers_to(someone).await.len(), 2);
}

#[tokio::test]
async fn a_chain_that_came_back_can_still_be_reorganised() {
    let mut anvil = Anvil::start().await;
    let someone = Buyer::new().address();
    anvil.mint(someone, 7).await;
    anvil.mine(3).await;
    anvil.kill().await;
    anvil.start_again().await;
    anvil.mint(someone, 5).await;
    anvil.reorg(2).await;
    assert_eq!(anvil.balance_of(someone).await, 7.into());
    anvil.reorg(anvil.block_number().await - 1).await;
    assert_eq!(anvil.balance_of(someone).await, 0.into());
}

#[tokio::test]
async fn a_reorganisation_undoes_the_newest_blocks_and_keeps_the_contracts() {
    let anvil = Anvil::start().await;
    let someone = Buyer::new().address();
    anvil.mint(someone, 7).await;
    let height = anvil.block_number().await;
    anvil.reorg(height - 1).await;
    assert_eq!(anvil.block_number().await, height);
    assert_eq!(anvil.balance_of(someone).await, 0.into());
    anvil.mint(someone, 5).await;
    assert_eq!(anvil.balance_of(someone).await, 5.into());
}

#[tokio::test]
async fn a_chain_mined_by_hand_stands_still_until_it_is_told() {
    let anvil = Anvil::builder().mined_by_hand().start().await;
    let before = anvil.block_number().await;
    anvil.mine(3).await;
    assert_eq!(anvil.block_number().await, before + 3);
}

#[tokio::test]
async fn a_chain_with_a_block_time_makes_blocks_by_itself() {
    let anvil = Anvil::builder().block_time(Some(Duration::from_secs(1))).start().await;
    let before = anvil.block_number().await;
    let grown = || async { (anvil.block_number().await > before).then_some(()) };
    eventually(Duration::from_secs(20), grown).await;
}

#[tokio::test]
async fn a_blacklisted_or_paused_token_moves_nothing() {
    let anvil = Anvil::start().await;
    let buyer = Buyer::new();
    anvil.mint(buyer.address(), 10).await;
    let signed = buyer.authorize().amount(1).sign();
    let input = hex::encode(settle(&signed.authorization, &signed.signature));
    let call = json!([{"to": Anvil::TOKEN, "input": format!("0x{input}")}, "latest"]);

    anvil.blacklist(buyer.address()).await;
    let refused = anvil.try_rpc("eth_call", call.clone()).await.unwrap_err();
    assert!(refused.message.contains("blacklisted"), "{}", refused.message);

    anvil.unblacklist(buyer.address()).await;
    anvil.pause_token().await;
    let refused = anvil.try_rpc("eth_call", call.clone()).await.unwrap_err();
    assert!(refused.message.contains("paused"), "{}", refused.message);

    anvil.unpause_token().await;
    assert!(anvil.try_rpc("eth_call", call).await.is_ok());
}
