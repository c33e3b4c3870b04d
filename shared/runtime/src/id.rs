//! Identifiers and secret material from the operating system's random source.

use uuid::Uuid;

/// A new `UUIDv7` (RFC 9562): unique, and later ones sort after earlier ones of the same process.
#[must_use]
pub fn new_uuid() -> Uuid {
    Uuid::now_v7()
}

/// `N` bytes that nobody can guess, for tokens, keys and nonces.
///
/// # Panics
/// When the operating system has no random source; a process must not go on without one.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system's random source always answers");
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn later_ids_sort_after_earlier_ones() {
        let ids: Vec<_> = (0..1_000).map(|_| new_uuid()).collect();
        assert!(ids.is_sorted());
    }

    #[test]
    fn random_bytes_do_not_repeat() {
        let drawn: HashSet<[u8; 32]> = (0..1_000).map(|_| random_bytes()).collect();
        assert_eq!(drawn.len(), 1_000);
    }
}
