//! Which blocks are compared.

use chain::{ChainError, Node};

/// The newest block that has `confirmations` blocks, itself included; `None` when the chain is
/// shorter than that.
///
/// # Errors
/// [`ChainError`] when the node did not say.
pub async fn newest_final(node: &Node, confirmations: u64) -> Result<Option<u64>, ChainError> {
    let head = node.head().await?.number;
    Ok(head.checked_sub(confirmations.saturating_sub(1)))
}

/// The first and last block of an audit that may compare `most` blocks.
///
/// Those are the newest ones when nothing is known to have been compared up to `since`, and else
/// those that follow it, with some before it again, because what was open then may have ended.
/// What was left out is never skipped: when too many are new, the rest is left for the next audit.
pub fn recent(since: Option<u64>, newest: u64, most: u64) -> (u64, u64) {
    let most = most.max(1);
    let oldest_of_newest = newest.saturating_sub(most.saturating_sub(1));
    let Some(since) = since.filter(|since| *since <= newest) else {
        return (oldest_of_newest, newest);
    };
    let from = since.saturating_add(1).saturating_sub(most / 4).min(newest);
    (from, from.saturating_add(most.saturating_sub(1)).min(newest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audit_follows_the_one_before_with_some_overlap_and_a_bound() {
        for (since, newest, most, expected) in [
            // Nothing known: the newest.
            (None, 1_000, 100, (901, 1_000)),
            (None, 50, 100, (0, 50)),
            (None, 0, 1, (0, 0)),
            // Something known: from a quarter before it.
            (Some(990), 1_000, 100, (966, 1_000)),
            (Some(1_000), 1_000, 100, (976, 1_000)),
            (Some(10), 12, 100, (0, 12)),
            // Far behind: what follows, and no hole.
            (Some(100), 1_000, 100, (76, 175)),
            // The smallest steps still lead on.
            (Some(5), 9, 1, (6, 6)),
            (Some(9), 9, 1, (9, 9)),
            // A chain that is shorter than it was.
            (Some(2_000), 1_000, 100, (901, 1_000)),
        ] {
            assert_eq!(recent(since, newest, most), expected, "{since:?} {newest} {most}");
        }
    }

    #[test]
    fn audits_one_after_the_other_reach_the_newest_block_and_leave_none_out() {
        for most in 1..=9 {
            let (mut since, mut audits) = (3, 0);
            while since < 100 {
                let (from, to) = recent(Some(since), 100, most);
                assert!(from <= since + 1 && to > since, "{most}: {from} {to} after {since}");
                (since, audits) = (to, audits + 1);
            }
            assert!(audits <= 97, "{most}");
        }
    }
}
