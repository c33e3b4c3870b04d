//! Following what was sent, block by block: one look per block, not per payment.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use chain::Head;
use domain::{Address, B256, TransactionId};
use futures::stream::{self, StreamExt};
use store::{OpenTransaction, TransactionState};

use crate::decide::rhythm::Rhythm;
use crate::error::SettleError;
use crate::finality::Canon;
use crate::meters;
use crate::network::Network;
use crate::policy::Policy;

/// The most blocks that are read one after the other; over a longer gap each transaction is asked
/// for by its hashes.
const GAP_LIMIT: u64 = 16;

/// Blocks under so many others, beyond the network's confirmations, are looked at less often.
const DEEP: u64 = 64;

/// With every so many-th head, that is.
const DEEP_LOOKS: u64 = 16;

/// So many transactions are asked about at once: each waits for the node most of the time.
const FOLLOWED_AT_ONCE: usize = 8;

/// So many are recorded at once. The ledger gains nothing by more, and what is recorded first is told
/// to its sellers while the others wait their turn.
const RECORDED_AT_ONCE: usize = 2;

/// What the watcher remembers from one look to the next.
#[derive(Debug, Default)]
struct Seen {
    head: Option<Head>,
    rhythm: Rhythm,
    /// The newest block that the rhythm knows of.
    noted: Option<B256>,
    /// Whoever had something open.
    signers: HashSet<Address>,
    /// What could not be followed to the end: looked at again, whether a block comes or not.
    again: HashSet<TransactionId>,
}

/// Follows everything in the tracker until it is aborted. Nothing is asked while nothing is open.
pub(crate) async fn watch(network: Arc<Network>) {
    let mut seen = Seen::default();
    loop {
        measure(&network, &mut seen.signers);
        if network.tracker.is_empty() {
            network.tracker.filled().await;
            // What is signed now is in no block before the one that it was signed after.
            let signed_at = network.tracker.first_signed_at();
            let last = network.market.last_head().await;
            let signed_after = last.filter(|head| head.number <= signed_at);
            seen.head = signed_after.into_iter().chain(seen.head).max_by_key(|head| head.number);
            tokio::time::sleep(seen.rhythm.pause(Instant::now(), &network.policy)).await;
        }
        if let Err(error) = step(&network, &mut seen).await {
            tracing::warn!(%error, network = %network.node.chain(), "the newest block is not known");
        }
        let pause = match seen.again.is_empty() {
            true => seen.rhythm.pause(Instant::now(), &network.policy),
            false => network.policy.poll_interval(),
        };
        tokio::time::sleep(pause).await;
    }
}

/// Shows what is open, also of signers that have nothing open any more.
fn measure(network: &Network, signers: &mut HashSet<Address>) {
    let chain = network.node.chain();
    meters::open_transactions(chain, network.tracker.len());
    let open = network.tracker.open_by_signer();
    signers.extend(open.keys());
    for signer in signers.iter() {
        meters::in_flight(chain, *signer, open.get(signer).copied().unwrap_or(0));
    }
}

/// Looks for a new block and follows it. What cannot be read of it is looked at again, and keeps
/// nothing else from being followed.
async fn step(network: &Arc<Network>, seen: &mut Seen) -> Result<(), SettleError> {
    let head = network.node.head().await?;
    let is_new = seen.head.is_none_or(|seen| seen.hash != head.hash);
    if is_new {
        // One whose receipts come late is new more than once.
        if seen.noted != Some(head.hash) {
            seen.noted = Some(head.hash);
            seen.rhythm.note_block(Instant::now(), &network.policy);
            network.market.note_head(head).await;
        }
    } else {
        seen.rhythm.note_nothing(Instant::now());
    }
    if !is_new && seen.again.is_empty() && !network.tracker.has_unseen() {
        return Ok(());
    }
    let canon = Canon::at(network, head);
    let mut again = std::mem::take(&mut seen.again);
    let read = match seen.head {
        Some(_) if !is_new => Read::Whole,
        Some(seen) if follows(&seen, &head) => {
            read_blocks(network, &seen, &canon, &mut again).await
        }
        Some(_) | None => Read::Not,
    };
    let wanted = network.tracker.all().into_iter().map(|(transaction, _)| transaction).filter(
        |transaction| {
            again.contains(&transaction.id)
                || match transaction.state {
                    TransactionState::Mined { block_number, .. } => {
                        is_new && is_worth_a_look(block_number, &head, &network.policy)
                    }
                    // A first look, a long gap or another branch: the hashes are the surest way.
                    _ => read != Read::Whole || network.tracker.is_unseen(transaction.id),
                }
        },
    );
    let followed = stream::iter(wanted.collect::<Vec<_>>())
        .map(async |transaction| (transaction.id, follow(network, &transaction, &canon).await));
    let mut followed = std::pin::pin!(followed.buffer_unordered(FOLLOWED_AT_ONCE));
    while let Some((transaction, is_followed)) = followed.next().await {
        match is_followed {
            true => network.tracker.note_unseen(transaction, false),
            false => {
                seen.again.insert(transaction);
            }
        }
    }
    if is_new {
        network.push_open(&head).await;
    }
    if read != Read::TooEarly {
        seen.head = Some(head);
    }
    Ok(())
}

/// Whether a mined transaction is looked at with this head. What waits for a deep finality is
/// looked at now and then: a seller who asks for it must not make everybody's blocks late.
const fn is_worth_a_look(block_number: u64, head: &Head, policy: &Policy) -> bool {
    let above = head.number.saturating_sub(block_number);
    above < policy.confirmations.saturating_add(DEEP) || head.number.is_multiple_of(DEEP_LOOKS)
}

/// Whether the new head plainly continues what was seen. Over more than one block that is not
/// certain, but a transaction that moved to another branch loses its block, which is noticed.
fn follows(seen: &Head, head: &Head) -> bool {
    let ahead = head.number.saturating_sub(seen.number);
    (ahead == 1 && head.parent == seen.hash) || (2..=GAP_LIMIT).contains(&ahead)
}

/// What came of reading blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// Everything in them is known.
    Whole,
    /// They could not be read, or should not be: each transaction is asked for.
    Not,
    /// The node that was asked does not have one of them yet: it is asked for again.
    TooEarly,
}

/// Reads every block after `seen` up to the head, and records what each holds.
async fn read_blocks(
    network: &Network,
    seen: &Head,
    canon: &Canon<'_>,
    again: &mut HashSet<TransactionId>,
) -> Read {
    for number in seen.number.saturating_add(1)..=canon.head().number {
        let receipts = match network.node.block_receipts(number).await {
            Ok(Some(receipts)) => receipts,
            Ok(None) => return Read::TooEarly,
            Err(error) => {
                tracing::debug!(%error, number, "a block's receipts could not be read");
                return Read::Not;
            }
        };
        let ours = receipts.into_iter().filter_map(|receipt| {
            let transaction = network.tracker.by_hash(receipt.tx_hash)?;
            matches!(transaction.state, TransactionState::Open).then_some((transaction, receipt))
        });
        let recorded =
            stream::iter(ours.collect::<Vec<_>>()).map(async |(transaction, receipt)| {
                let recorded = network.mined(&transaction, &receipt, canon).await;
                (transaction.id, receipt.tx_hash, recorded)
            });
        let mut recorded = std::pin::pin!(recorded.buffer_unordered(RECORDED_AT_ONCE));
        while let Some((transaction, tx, recorded)) = recorded.next().await {
            if let Err(error) = recorded {
                tracing::warn!(%error, %tx, "a mined transaction is read again");
                again.insert(transaction);
            }
        }
    }
    Read::Whole
}

/// Finds out where one transaction stands; false when that has to be done again.
async fn follow(network: &Network, transaction: &OpenTransaction, canon: &Canon<'_>) -> bool {
    let was_mined = matches!(transaction.state, TransactionState::Mined { .. });
    match network.look_as_of(transaction, canon).await {
        // A block that was lost: most likely another one holds it by now.
        Ok(()) => !(was_mined && network.tracker.is_open(transaction.id)),
        Err(error) => {
            tracing::warn!(%error, nonce = transaction.nonce, "a transaction is looked at again");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::policy;

    #[test]
    fn what_waits_for_a_deep_finality_is_looked_at_now_and_then() {
        let policy = Policy { confirmations: 10, ..policy(50) };
        // head, block → worth a look
        for (number, block, expected) in [
            (100, 100, true),
            (100, 91, true),
            (173, 100, true),
            (174, 100, false),
            (175, 100, false),
            (176, 100, true),
            // A block above the head belongs to another branch, or the node lags.
            (100, 101, true),
        ] {
            let head =
                Head { number, hash: B256::ZERO, parent: B256::ZERO, timestamp: 0, base_fee: 0 };
            assert_eq!(is_worth_a_look(block, &head, &policy), expected, "{block} at {number}");
        }
    }
}
