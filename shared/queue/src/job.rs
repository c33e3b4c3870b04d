//! The job: a version, an id, and where the trace goes on.

use serde::{Deserialize, Serialize};

/// The only version of the envelope so far.
const VERSION: u32 = 1;
/// The longest encoded job that is taken. An id and a trace parent need a tenth of it.
pub(crate) const MAX_BYTES: usize = 4_096;

/// "Look at this one now": `{"v":1,"id":"…","traceparent":"…"}`.
///
/// The id names a row of the ledger. No secret belongs into a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What to look at.
    pub id: String,
    /// The W3C trace context of whoever rang, if it had one.
    pub traceparent: Option<String>,
}

/// Why bytes are not a job. The text may quote the bytes: it goes to the dead stream, not to a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJob {
    /// Not JSON, or a field is missing or of the wrong type.
    #[error("not a job: {0}")]
    Malformed(String),
    /// An envelope from a newer release.
    #[error("version {0} is not understood")]
    UnknownVersion(u32),
    /// Nothing to look at.
    #[error("the id is empty")]
    EmptyId,
    /// More bytes than any job has.
    #[error("{0} bytes are more than a job may have")]
    TooLong(usize),
    /// The entry has no job field at all.
    #[error("the entry has no job in it")]
    Missing,
}

/// The wire form. Unknown fields are ignored, so that a newer release may add some.
#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    v: u32,
    id: T,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<T>,
}

impl Job {
    /// A job for this id, without a trace.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), traceparent: None }
    }

    /// The same job, as part of this trace.
    #[must_use]
    pub fn with_traceparent(mut self, traceparent: Option<String>) -> Self {
        self.traceparent = traceparent;
        self
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let envelope =
            Envelope { v: VERSION, id: self.id.as_str(), traceparent: self.traceparent.as_deref() };
        serde_json::to_vec(&envelope).expect("strings and a number are always valid JSON")
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, InvalidJob> {
        if bytes.len() > MAX_BYTES {
            return Err(InvalidJob::TooLong(bytes.len()));
        }
        let envelope: Envelope<String> = serde_json::from_slice(bytes)
            .map_err(|error| InvalidJob::Malformed(error.to_string()))?;
        if envelope.v != VERSION {
            return Err(InvalidJob::UnknownVersion(envelope.v));
        }
        if envelope.id.is_empty() {
            return Err(InvalidJob::EmptyId);
        }
        Ok(Self { id: envelope.id, traceparent: envelope.traceparent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_is_the_documented_one() {
        let plain = Job::new("pay_1");
        assert_eq!(plain.encode(), br#"{"v":1,"id":"pay_1"}"#);
        let traced = plain.with_traceparent(Some("00-ab-cd-01".into()));
        let bytes = traced.encode();
        assert_eq!(bytes, br#"{"v":1,"id":"pay_1","traceparent":"00-ab-cd-01"}"#);
        assert_eq!(Job::decode(&bytes), Ok(traced));
    }

    #[test]
    fn unknown_fields_and_a_null_trace_are_ignored() {
        let bytes = br#"{"v":1,"id":"pay_1","traceparent":null,"priority":7}"#;
        assert_eq!(Job::decode(bytes), Ok(Job::new("pay_1")));
    }

    #[test]
    fn what_is_not_a_job_is_refused_with_the_reason() {
        let long = [b' '; MAX_BYTES + 1];
        assert_eq!(Job::decode(&long), Err(InvalidJob::TooLong(MAX_BYTES + 1)));
        let newer = br#"{"v":2,"id":"pay_1"}"#;
        assert_eq!(Job::decode(newer), Err(InvalidJob::UnknownVersion(2)));
        let empty = br#"{"v":1,"id":""}"#;
        assert_eq!(Job::decode(empty), Err(InvalidJob::EmptyId));
        for malformed in [&b"not json"[..], br#"{"v":1}"#, br#"{"id":"pay_1"}"#, b"\xff"] {
            assert!(matches!(Job::decode(malformed), Err(InvalidJob::Malformed(_))));
        }
    }
}
