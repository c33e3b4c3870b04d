//! Following what was sent, block by block: one look per block, not per payment.

use std::sync::Arc;

use chain::Head;
use store::{OpenTransaction, TransactionState};

use crate::error::SettleError;
use crate::finality::Canon;
use crate::lane::Lane;
use crate::meters;
use crate::network::Network;
use crate::tracker::newest;

/// The most blocks that are read one after the other; over a longer gap each transaction is asked
/// for by its hashes.
const GAP_LIMIT: u64 = 16;

/// Follows everything in the tracker until it is aborted. Nothing is asked while nothing is open.
pub(crate) async fn watch(network: Arc<Network>) {
    let mut seen: Option<Head> = None;
    loop {
        meters::open_transactions(network.node.chain(), network.tracker.len());
        network.tracker.filled().await;
        match step(&network, seen).await {
            Ok(head) => seen = Some(head),
            Err(error) => {
                tracing::warn!(%error, network = %network.node.chain(), "a block was not followed");
            }
        }
        tokio::time::sleep(network.policy.poll_interval()).await;
    }
}

/// Looks for a new block and follows it. The block counts as seen only when all of it was.
async fn step(network: &Arc<Network>, seen: Option<Head>) -> Result<Head, SettleError> {
    let head = network.node.head().await?;
    if seen.is_some_and(|seen| seen.hash == head.hash) {
        return Ok(head);
    }
    let mut canon = Canon::at(network, head);
    match seen {
        Some(seen) if follows(&seen, &head) => {
            for number in seen.number.saturating_add(1)..=head.number {
                read_block(network, number, &mut canon).await?;
            }
        }
        // A first look, a long gap or another branch: the hashes are the surest way.
        Some(_) | None => look_at_each(network).await?,
    }
    for (transaction, _) in network.tracker.all() {
        if matches!(transaction.state, TransactionState::Mined { .. }) {
            network.confirm(&transaction, &mut canon).await?;
        }
    }
    push_open(network, &head).await;
    Ok(head)
}

/// Whether the new head plainly continues what was seen. Over more than one block that is not
/// certain, but a transaction that moved to another branch loses its block, which is noticed.
fn follows(seen: &Head, head: &Head) -> bool {
    let ahead = head.number.saturating_sub(seen.number);
    (ahead == 1 && head.parent == seen.hash) || (2..=GAP_LIMIT).contains(&ahead)
}

async fn read_block(
    network: &Network,
    number: u64,
    canon: &mut Canon<'_>,
) -> Result<(), SettleError> {
    let receipts = network.node.block_receipts(number).await?;
    for receipt in receipts.unwrap_or_default() {
        let Some(transaction) = network.tracker.by_hash(receipt.tx_hash) else { continue };
        if matches!(transaction.state, TransactionState::Open) {
            network.mined(&transaction, &receipt, canon).await?;
        }
    }
    Ok(())
}

async fn look_at_each(network: &Network) -> Result<(), SettleError> {
    for (transaction, _) in network.tracker.all() {
        network.look(&transaction).await?;
    }
    Ok(())
}

/// Sends again, or pays more for, what blocks leave lying.
async fn push_open(network: &Arc<Network>, head: &Head) {
    for (transaction, lane) in network.tracker.all() {
        if !matches!(transaction.state, TransactionState::Open) {
            continue;
        }
        if let Err(error) = push(network, &lane, &transaction, head).await {
            tracing::warn!(%error, nonce = transaction.nonce, "a waiting transaction stays as it is");
        }
    }
}

async fn push(
    network: &Arc<Network>,
    lane: &Arc<Lane>,
    transaction: &OpenTransaction,
    head: &Head,
) -> Result<(), SettleError> {
    let Some(attempt) = newest(transaction) else { return Ok(()) };
    let waited = head.number.saturating_sub(attempt.signed_at_block);
    // One block went by while it was on its way, so that the next is the first it could be in.
    if waited > network.policy.bump_after_blocks.saturating_add(1) {
        network.look(transaction).await?;
        if !network.tracker.is_open(transaction.id) {
            return Ok(());
        }
        network.drop_if_spent(transaction, lane.address()).await?;
        if !network.tracker.is_open(transaction.id) {
            return Ok(());
        }
        if let Err(error) = network.bump(lane, transaction).await {
            tracing::warn!(%error, nonce = transaction.nonce, "not replaced: the old offer stands");
            network.send(lane, transaction).await;
        }
    } else if waited > 1 {
        // The node may have lost it: a restart or a reorganisation empties its pool.
        network.send(lane, transaction).await;
    }
    Ok(())
}
