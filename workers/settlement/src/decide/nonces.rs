//! Where a lane begins.

/// The nonces below `next`, which the lane hands out next, that the chain has not used and that
/// nothing is stored for: until they are used, nothing after them can be mined.
pub(crate) fn holes(mined: u64, next: u64, stored: impl Iterator<Item = u64>) -> Vec<u64> {
    let stored: Vec<u64> = stored.collect();
    (mined..next).filter(|nonce| !stored.contains(nonce)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_what_neither_the_chain_nor_the_ledger_has() {
        const NONE: [u64; 0] = [];
        let holes = |mined, next, stored: &[u64]| holes(mined, next, stored.iter().copied());
        assert_eq!(holes(0, 0, &[]), NONE);
        assert_eq!(holes(3, 5, &[3, 4]), NONE);
        assert_eq!(holes(3, 6, &[3, 5]), [4]);
        assert_eq!(holes(3, 6, &[]), [3, 4, 5]);
        // What the chain has used is no hole, whoever used it; nor is what will be handed out.
        assert_eq!(holes(6, 6, &[2]), NONE);
        assert_eq!(holes(7, 6, &[]), NONE);
    }
}
