//! A payment as the status API shows it.

use domain::{B256, FailureCode, StateName, Timestamp};
use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The parts of the payment resource that a seller of the demo looks at.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Payment {
    pub(crate) status: StateName,
    pub(crate) terminal: bool,
    pub(crate) version: u32,
    pub(crate) transaction: Option<Transaction>,
    pub(crate) failure: Option<Failure>,
    pub(crate) timeline: Vec<Change>,
}

/// The transaction that carried it.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Transaction {
    pub(crate) hash: B256,
    pub(crate) log_index: Option<u64>,
}

/// Why it ended unpaid.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Failure {
    pub(crate) code: FailureCode,
}

/// One line of the timeline.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Change {
    pub(crate) version: u32,
    pub(crate) status: StateName,
    #[serde(deserialize_with = "moment")]
    pub(crate) at: Timestamp,
}

impl Payment {
    /// When it came to this state for the last time.
    pub(crate) fn came_to(&self, state: StateName) -> Option<Timestamp> {
        self.timeline.iter().rev().find(|change| change.status == state).map(|change| change.at)
    }

    /// Whether each version stands in the timeline once, from 1 to the newest.
    pub(crate) fn has_whole_timeline(&self) -> bool {
        let versions = self.timeline.iter().map(|change| change.version);
        versions.eq(1..=self.version)
            && self.timeline.last().is_some_and(|change| change.status == self.status)
    }
}

fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    let moment = OffsetDateTime::parse(&text, &Rfc3339).map_err(serde::de::Error::custom)?;
    Ok(Timestamp::from(moment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_answer_is_read() {
        let payment: Payment = serde_json::from_str(
            r#"{"status":"rejected","terminal":true,"version":2,
                "transaction":null,"failure":{"code":"insufficient_funds","retryable":false},
                "timeline":[{"version":1,"status":"accepted","at":"2026-03-01T12:00:07.412Z"},
                            {"version":2,"status":"rejected","at":"2026-03-01T12:00:07.512Z"}]}"#,
        )
        .unwrap();
        let rejected = payment.came_to(StateName::Rejected).unwrap();
        assert_eq!(rejected.to_string(), "2026-03-01T12:00:07.512Z");
        assert!(payment.has_whole_timeline() && payment.terminal);
        assert_eq!(payment.came_to(StateName::Settled), None);
    }
}
