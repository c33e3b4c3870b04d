//! Whom to ask, and in which order.

use std::time::Instant;

/// An endpoint whose newest block is by more than this older than its peers' is lagging. Blocks
/// reach nodes one after the other, and not all are asked at the same moment.
const MOST_BEHIND: u64 = 3;

/// The most endpoints that are asked in one call.
pub(crate) const MOST_ASKED: usize = 3;

/// What matters about an endpoint when a call is to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Since when its breaker has been open, if it is.
    pub(crate) opened: Option<Instant>,
    /// The height of the block that it last called its newest.
    pub(crate) head: Option<u64>,
}

/// Which endpoints to ask, one after the other while they fail, by their place in the order of
/// preference: first those that are well, then those that lag.
pub(crate) fn order(standings: &[Standing]) -> Vec<usize> {
    let closed = || standings.iter().enumerate().filter(|(_, standing)| standing.opened.is_none());
    let newest = closed().filter_map(|(_, standing)| standing.head).max().unwrap_or_default();
    let (mut order, lagging): (Vec<_>, Vec<_>) = closed().partition(|(_, standing)| {
        standing.head.is_none_or(|head| head.saturating_add(MOST_BEHIND) >= newest)
    });
    order.extend(lagging);
    order.into_iter().map(|(index, _)| index).take(MOST_ASKED).collect()
}

/// Whom to ask when nobody else is left: the one whose breaker opened first. A network is not
/// given up because all its URLs failed a moment ago.
pub(crate) fn last_resort(standings: &[Standing]) -> Option<usize> {
    let open = standings.iter().enumerate();
    open.filter_map(|(index, standing)| Some((standing.opened?, index)))
        .min()
        .map(|(_, index)| index)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_preferred_are_asked_first_unless_they_fail_or_lag() {
        let start = Instant::now();
        let closed = |head| Standing { opened: None, head: Some(head) };
        let unknown = Standing { opened: None, head: None };
        let open = |second, head| Standing {
            opened: Some(start + Duration::from_secs(second)),
            head: Some(head),
        };
        for (standings, expected, last) in [
            (vec![unknown], vec![0], None),
            (vec![closed(9), closed(9)], vec![0, 1], None),
            (vec![unknown, closed(9)], vec![0, 1], None),
            // No more than three in one call.
            (vec![closed(9), closed(9), closed(9), closed(9)], vec![0, 1, 2], None),
            (vec![open(1, 9), closed(9), closed(9)], vec![1, 2], Some(0)),
            // A few blocks are nothing, more are a lag.
            (vec![closed(6), closed(9)], vec![0, 1], None),
            (vec![closed(5), closed(9)], vec![1, 0], None),
            (vec![closed(5), closed(9), closed(9), closed(9)], vec![1, 2, 3], None),
            // What one that fails has told of is no measure.
            (vec![closed(5), open(1, 9)], vec![0], Some(1)),
            // Nobody is well: the one that opened first.
            (vec![open(1, 9)], vec![], Some(0)),
            (vec![open(2, 9), open(1, 9), open(3, 9)], vec![], Some(1)),
            (vec![open(1, 9), open(1, 9)], vec![], Some(0)),
            (vec![], vec![], None),
        ] {
            assert_eq!(order(&standings), expected, "{standings:?}");
            assert_eq!(last_resort(&standings), last, "{standings:?}");
        }
    }
}
