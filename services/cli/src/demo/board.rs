//! What the demo knows of each payment, while it waits and afterwards.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::{PaymentId, StateName};

use super::api::Answer;
use super::payment::Payment;
use super::plan::Planned;

/// One planned payment, and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    pub(crate) planned: Planned,
    /// The answer to each post.
    pub(crate) answers: Vec<Answer>,
    /// The payment as it was seen last.
    pub(crate) payment: Option<Payment>,
}

impl Track {
    /// The payment's name, once it was accepted.
    pub(crate) fn id(&self) -> Option<PaymentId> {
        self.answers.iter().find_map(|answer| match answer {
            Answer::Taken(id) => Some(*id),
            Answer::Refused(_) => None,
        })
    }

    /// Why it was refused, where it was.
    pub(crate) fn refusal(&self) -> Option<&str> {
        self.answers.iter().find_map(|answer| match answer {
            Answer::Taken(_) => None,
            Answer::Refused(code) => Some(code.as_str()),
        })
    }

    /// The state in which it was seen last.
    pub(crate) fn status(&self) -> Option<StateName> {
        self.payment.as_ref().map(|payment| payment.status)
    }
}

/// All of them; the tasks that post and follow write here.
pub(crate) struct Board {
    tracks: Mutex<Vec<Track>>,
}

/// How many are where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) posted: usize,
    pub(crate) refused: usize,
    pub(crate) by_state: BTreeMap<&'static str, usize>,
}

impl Board {
    pub(crate) fn new(plan: Vec<Planned>) -> Self {
        let track = |planned| Track { planned, answers: Vec::new(), payment: None };
        Self { tracks: Mutex::new(plan.into_iter().map(track).collect()) }
    }

    /// Notes the answer to a post of this payment.
    pub(crate) fn answered(&self, number: usize, answer: Answer) {
        if let Some(track) = self.lock().get_mut(number) {
            track.answers.push(answer);
        }
    }

    /// Notes how this payment stands.
    pub(crate) fn seen(&self, number: usize, payment: Payment) {
        if let Some(track) = self.lock().get_mut(number) {
            track.payment = Some(payment);
        }
    }

    /// The name of this payment, once it was accepted.
    pub(crate) fn id_of(&self, number: usize) -> Option<PaymentId> {
        self.lock().get(number).and_then(Track::id)
    }

    /// Everything as it is known now.
    pub(crate) fn tracks(&self) -> Vec<Track> {
        self.lock().clone()
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for track in self.lock().iter() {
            if track.answers.is_empty() {
                continue;
            }
            counts.posted += 1;
            if track.id().is_none() {
                counts.refused += 1;
            } else {
                let state = track.status().unwrap_or(StateName::Accepted);
                *counts.by_state.entry(state.as_str()).or_default() += 1;
            }
        }
        counts
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Track>> {
        // Every step under the lock leaves the list whole.
        self.tracks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
