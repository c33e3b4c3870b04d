//! What was given up.

use redis::Value;

use crate::entry::{self, EntryId};

/// An entry of a dead stream. The ledger still knows what it was about; this is for finding out
/// why it could not be handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadEntry {
    /// Its id in the dead stream.
    pub id: String,
    /// When it was given up, in milliseconds since the epoch by the server's clock.
    pub at_millis: u64,
    /// The id it had in its stream.
    pub entry: String,
    /// How often it had been delivered.
    pub deliveries: u32,
    /// Why it was given up.
    pub reason: String,
    /// The job as it was received; not necessarily one of ours.
    pub body: Vec<u8>,
}

/// Reads an `XREVRANGE` reply over a dead stream.
pub(crate) fn from_range(reply: Value) -> Vec<DeadEntry> {
    entry::list(reply).into_iter().filter_map(read).collect()
}

fn read(value: Value) -> Option<DeadEntry> {
    let mut parts = entry::list(value).into_iter();
    let id: EntryId = entry::id(&parts.next()?)?;
    let fields = parts.next()?;
    let field = |name| entry::field(fields.clone(), name).unwrap_or_default();
    let text = |name| String::from_utf8_lossy(&field(name)).into_owned();
    Some(DeadEntry {
        id: id.to_string(),
        at_millis: id.millis,
        entry: text("entry"),
        deliveries: text("deliveries").parse().unwrap_or_default(),
        reason: text("reason"),
        body: field("body"),
    })
}
