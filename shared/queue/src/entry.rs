//! Stream entries as Redis returns them.
//!
//! Read by hand and leniently: one entry that is not ours must not make the reply with all the
//! others unreadable.

use std::fmt;
use std::str::FromStr;

use redis::Value;

use crate::bell::JOB_FIELD;

/// The id Redis gave an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryId {
    /// Milliseconds since the epoch, by the server's clock.
    pub(crate) millis: u64,
    sequence: u64,
}

impl FromStr for EntryId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (millis, sequence) = text.split_once('-').ok_or(())?;
        Ok(Self {
            millis: millis.parse().map_err(|_| ())?,
            sequence: sequence.parse().map_err(|_| ())?,
        })
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.sequence)
    }
}

/// An entry that was delivered to us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RawEntry {
    pub(crate) id: EntryId,
    /// How often it has been delivered, this time included.
    pub(crate) deliveries: u32,
    /// The encoded job, if the entry has one.
    pub(crate) body: Option<Vec<u8>>,
}

/// The entries of an `XREADGROUP` reply over one stream, each delivered for the first time.
pub(crate) fn from_read(reply: Value) -> Vec<RawEntry> {
    let entries = match reply {
        // RESP2: [[key, entries]]; RESP3: {key: entries}.
        Value::Array(streams) => {
            streams.into_iter().filter_map(|stream| list(stream).into_iter().nth(1)).collect()
        }
        Value::Map(streams) => streams.into_iter().map(|(_, entries)| entries).collect(),
        _ => Vec::new(),
    };
    entries
        .into_iter()
        .flat_map(list)
        .filter_map(|entry| {
            let mut parts = list(entry).into_iter();
            Some(RawEntry {
                id: id(&parts.next()?)?,
                deliveries: 1,
                body: parts.next().and_then(body),
            })
        })
        .collect()
}

/// What the reclaim script took over.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reclaimed {
    /// Where the next call goes on; `0-0` when everything has been looked at.
    pub(crate) cursor: String,
    pub(crate) entries: Vec<RawEntry>,
    /// Moved to the dead stream.
    pub(crate) buried: Vec<EntryId>,
}

/// Reads the reply of the reclaim script.
pub(crate) fn from_reclaim(reply: Value) -> Reclaimed {
    let mut parts = list(reply).into_iter();
    let cursor = parts.next().and_then(|cursor| text(&cursor));
    let taken = parts.next().map(list).unwrap_or_default();
    let buried = parts.next().map(list).unwrap_or_default();
    let entries = taken.into_iter().filter_map(|entry| {
        let mut parts = list(entry).into_iter();
        Some(RawEntry {
            id: id(&parts.next()?)?,
            deliveries: match parts.next()? {
                Value::Int(count) => u32::try_from(count).unwrap_or(u32::MAX),
                _ => 1,
            },
            body: parts.next().and_then(body),
        })
    });
    Reclaimed {
        cursor: cursor.unwrap_or_else(|| "0-0".to_owned()),
        entries: entries.collect(),
        buried: buried.iter().filter_map(id).collect(),
    }
}

/// The value of one field in an entry's flat list of fields and values.
pub(crate) fn field(fields: Value, name: &str) -> Option<Vec<u8>> {
    let mut fields = list(fields).into_iter();
    while let (Some(field), Some(value)) = (fields.next(), fields.next()) {
        if matches!(&field, Value::BulkString(bytes) if bytes == name.as_bytes()) {
            return match value {
                Value::BulkString(bytes) => Some(bytes),
                _ => None,
            };
        }
    }
    None
}

/// An entry's id.
pub(crate) fn id(value: &Value) -> Option<EntryId> {
    text(value)?.parse().ok()
}

/// The elements of an array; nothing for anything else.
pub(crate) fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        _ => Vec::new(),
    }
}

fn body(fields: Value) -> Option<Vec<u8>> {
    field(fields, JOB_FIELD)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn entry(id: &str, fields: &[&str]) -> Value {
        let fields = fields.iter().map(|field| bulk(field)).collect();
        Value::Array(vec![bulk(id), Value::Array(fields)])
    }

    #[test]
    fn both_protocols_read_alike() {
        let entries = || Value::Array(vec![entry("5-0", &["job", "{}"])]);
        let resp2 = Value::Array(vec![Value::Array(vec![bulk("{q:risk}"), entries()])]);
        let resp3 = Value::Map(vec![(bulk("{q:risk}"), entries())]);
        let read = from_read(resp2);
        assert_eq!(read[0].id.to_string(), "5-0");
        assert_eq!(read[0].body.as_deref(), Some(&b"{}"[..]));
        assert_eq!(read, from_read(resp3));
        assert!(from_read(Value::Nil).is_empty());
    }

    #[test]
    fn an_entry_without_a_job_does_not_hide_the_others() {
        let foreign = Value::BulkString(vec![0xff, 0xfe]);
        let strange = Value::Array(vec![bulk("1-0"), Value::Array(vec![foreign, bulk("x")])]);
        let entries = Value::Array(vec![strange, entry("2-0", &["other", "1", "job", "{}"])]);
        let read = from_read(Value::Array(vec![Value::Array(vec![bulk("s"), entries])]));
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].body, None);
        assert_eq!(read[1].body.as_deref(), Some(&b"{}"[..]));
    }

    #[test]
    fn a_reclaim_tells_deliveries_and_the_given_up() {
        let fields = Value::Array(vec![bulk("job"), bulk("{}")]);
        let taken = Value::Array(vec![bulk("7-1"), Value::Int(3), fields]);
        let reclaimed = from_reclaim(Value::Array(vec![
            bulk("0-0"),
            Value::Array(vec![taken]),
            Value::Array(vec![bulk("6-0")]),
        ]));
        assert_eq!(reclaimed.cursor, "0-0");
        assert_eq!(reclaimed.entries[0].deliveries, 3);
        assert_eq!(reclaimed.buried, ["6-0".parse().unwrap()]);
    }
}
