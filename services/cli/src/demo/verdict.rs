//! What did not come as it had to.

use std::collections::HashSet;

use domain::{EventType, PaymentId, StateName};

use super::api::Answer;
use super::board::Track;
use super::plan::Expectation;
use super::receiver::{Heard, Mail};

/// What a webhook column can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Webhook {
    /// There is no payment to tell of.
    None,
    /// The payment's end was told, signed as it should be.
    Verified,
    /// It was not told.
    Missing,
    /// Another end was told, or two of them.
    Wrong,
}

impl Webhook {
    /// How the seller heard of this payment's end.
    pub(crate) fn of(track: &Track, mail: &Mail) -> Self {
        let Some(id) = track.id() else { return Self::None };
        let mut ends = mail.of(id).iter().filter_map(|heard| ended(heard.kind));
        match (ends.next(), ends.next()) {
            (None, _) => Self::Missing,
            (Some(told), None) if Some(told) == track.status() => Self::Verified,
            (Some(_), _) => Self::Wrong,
        }
    }

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::None => "–",
            Self::Verified => "verified",
            Self::Missing => "missing",
            Self::Wrong => "wrong",
        }
    }
}

/// The state that an event of this kind ends a payment in, if it ends one.
const fn ended(kind: EventType) -> Option<StateName> {
    match kind {
        EventType::Settled => Some(StateName::Settled),
        EventType::Rejected => Some(StateName::Rejected),
        EventType::Canceled => Some(StateName::Canceled),
        EventType::Expired => Some(StateName::Expired),
        EventType::Failed => Some(StateName::Failed),
        EventType::Accepted
        | EventType::Held
        | EventType::Approved
        | EventType::Requeued
        | EventType::Submitted
        | EventType::Returned
        | EventType::Confirmed
        | EventType::Reorged
        | EventType::EndpointFailing
        | EventType::EndpointDisabled => None,
    }
}

/// Everything about the payments, the account and the webhooks that is not as it should be.
pub(crate) fn complaints(tracks: &[Track], listed: &[PaymentId], mail: &Mail) -> Vec<String> {
    let mut complaints = Vec::new();
    for track in tracks {
        let about = |what: String| format!("{}: {what}", track.planned.order.reference);
        complaints.extend(door(track).into_iter().chain(end(track)).map(about));
        match Webhook::of(track, mail) {
            Webhook::None | Webhook::Verified => {}
            Webhook::Missing => complaints.push(about("its end was not told by a webhook".into())),
            Webhook::Wrong => {
                let told: Vec<&str> =
                    track.id().map(|id| mail.of(id).iter().map(kind).collect()).unwrap_or_default();
                complaints.push(about(format!("webhooks told {}", told.join(" and "))));
            }
        }
    }
    complaints.extend(strangers(tracks, listed, mail));
    complaints
}

fn kind(heard: &Heard) -> &'static str {
    heard.kind.as_str()
}

/// What is wrong with the answers to a payment's posts.
fn door(track: &Track) -> Option<String> {
    let ids: HashSet<PaymentId> = track
        .answers
        .iter()
        .filter_map(|answer| match answer {
            Answer::Taken(id) => Some(*id),
            Answer::Refused(_) => None,
        })
        .collect();
    match (track.planned.kind.expectation(), track.refusal()) {
        _ if track.answers.is_empty() => Some("it was never answered".to_owned()),
        (Expectation::Refused(code), refusal) if refusal != Some(code.as_str()) => {
            Some(format!("{code:?} was expected, not {}", refusal.unwrap_or("acceptance")))
        }
        (Expectation::Refused(_), _) => {
            (!ids.is_empty()).then(|| "it was refused and accepted".to_owned())
        }
        (Expectation::Settled | Expectation::Rejected(_), Some(code)) => {
            Some(format!("it was refused: {code}"))
        }
        (Expectation::Settled | Expectation::Rejected(_), None) => {
            (ids.len() != 1).then(|| format!("its posts made {} payments", ids.len()))
        }
    }
}

/// What is wrong with the end of an accepted payment.
fn end(track: &Track) -> Option<String> {
    track.id()?;
    let Some(payment) = &track.payment else { return Some("nothing is known of it".to_owned()) };
    if !payment.terminal {
        return Some(format!("it is still {}", payment.status));
    }
    if !payment.has_whole_timeline() {
        return Some("its timeline has gaps".to_owned());
    }
    let code = payment.failure.map(|failure| failure.code);
    match (track.planned.kind.expectation(), payment.status, code) {
        (Expectation::Settled, StateName::Settled, None) => None,
        (Expectation::Rejected(wanted), StateName::Rejected, Some(code)) if code == wanted => None,
        (
            Expectation::Settled | Expectation::Rejected(_) | Expectation::Refused(_),
            status,
            code,
        ) => {
            let why = code.map(|code| format!(" ({code})")).unwrap_or_default();
            Some(format!("it is {status}{why}"))
        }
    }
}

/// Payments that nobody posted, and webhooks that are not to be believed.
fn strangers(tracks: &[Track], listed: &[PaymentId], mail: &Mail) -> Vec<String> {
    let posted: HashSet<PaymentId> = tracks.iter().filter_map(Track::id).collect();
    let mut complaints = Vec::new();
    let unlisted = posted.iter().filter(|id| !listed.contains(id)).count();
    let unposted = listed.iter().filter(|id| !posted.contains(id)).count();
    if (unlisted, unposted) != (0, 0) || listed.len() != posted.len() {
        complaints.push(format!(
            "the account lists {} payments, {unposted} of them never posted, and lacks {unlisted}",
            listed.len(),
        ));
    }
    let unknown = mail.payments().filter(|id| !posted.contains(id)).count();
    if unknown > 0 {
        complaints.push(format!("webhooks told of {unknown} payments that were never posted"));
    }
    if mail.unbelievable > 0 {
        complaints.push(format!("{} webhooks were not signed by us", mail.unbelievable));
    }
    complaints
}

/// Whether the end of each of these payments was told.
pub(crate) fn all_told(tracks: &[Track], mail: &Mail) -> bool {
    tracks.iter().all(|track| Webhook::of(track, mail) != Webhook::Missing)
}
