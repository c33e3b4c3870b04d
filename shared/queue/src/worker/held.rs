//! The entries this consumer answers for.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::entry::EntryId;

/// Every entry from its delivery until Redis has heard how it ended. Their leases are renewed.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    kept: HashSet<EntryId>,
    /// Still pending under our name, but no longer ours: their leases run out.
    abandoned: HashSet<EntryId>,
}

impl Held {
    /// Takes the entry on; false if it is held already.
    pub(super) fn take(&self, entry: EntryId) -> bool {
        let mut entries = self.lock();
        entries.abandoned.remove(&entry);
        entries.kept.insert(entry)
    }

    /// Lets go of entries that Redis knows the end of.
    pub(super) fn release(&self, concluded: impl IntoIterator<Item = EntryId>) {
        let mut entries = self.lock();
        for entry in concluded {
            entries.kept.remove(&entry);
        }
    }

    /// Gives up an entry whose end will never be known: it is delivered again after the lease.
    pub(super) fn abandon(&self, entry: EntryId) {
        let mut entries = self.lock();
        entries.kept.remove(&entry);
        entries.abandoned.insert(entry);
    }

    /// What is kept at this moment.
    pub(super) fn kept(&self) -> Vec<EntryId> {
        self.lock().kept.iter().copied().collect()
    }

    /// How many entries are pending under our name, as far as we know.
    pub(super) fn pending(&self) -> usize {
        let entries = self.lock();
        entries.kept.len() + entries.abandoned.len()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // No step under the lock leaves the sets half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
