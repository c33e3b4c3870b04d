//! An account's events: read on from a position, and waited for.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use domain::{AccountId, EventType, Payment, PaymentId, WebhookBody, WebhookEvent};
use store::{FeedEvent, FeedPosition};
use tokio::time::Instant;
use uuid::Uuid;
use watchtower::{AccountLookout, Ended};

use crate::App;
use crate::refusal::Refusal;

/// Events that are looked through at once for those of the types that are wanted.
const LOOKED_THROUGH: usize = 1_000;

/// How soon to look again while an older transaction holds events back; longer each time.
const HELD_BACK: Duration = Duration::from_millis(10);

/// Who waits for an account's news looks by itself so many times more rarely than who waits for one
/// payment: nobody shares that look.
const RECHECKS: u32 = 10;

/// Raised when cursors change their form; older ones are then refused. None that pages of other
/// lists begin with.
const FORM: u8 = 0xf1;

const CURSOR_BYTES: usize = 1 + 8 + 16;

/// A position as clients keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor(pub(crate) FeedPosition);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(FeedPosition { written_by, event }) = self;
        let bytes = [&[FORM][..], &written_by.to_be_bytes(), event.as_bytes()].concat();
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// Text that is no cursor of the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoCursor;

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| NoCursor)?;
        let bytes: [u8; CURSOR_BYTES] = bytes.try_into().map_err(|_| NoCursor)?;
        let (form, rest) = bytes.split_first().ok_or(NoCursor)?;
        let (number, event) = rest.split_first_chunk().ok_or(NoCursor)?;
        if *form != FORM {
            return Err(NoCursor);
        }
        let event = Uuid::from_slice(event).map_err(|_| NoCursor)?;
        Ok(Self(FeedPosition { written_by: u64::from_be_bytes(*number), event }))
    }
}

/// The types of events that a client wants; all, unless it named some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds(Option<HashSet<EventType>>);

impl FromStr for Kinds {
    type Err = domain::UnknownEventType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',')
            .map(|kind| kind.trim().parse())
            .collect::<Result<_, _>>()
            .map(|it| Self(Some(it)))
    }
}

impl Kinds {
    fn want(&self, kind: EventType) -> bool {
        self.0.as_ref().is_none_or(|kinds| kinds.contains(&kind))
    }

    /// How many events to look through for so many of the wanted ones.
    fn looked_through(&self, wanted: usize) -> usize {
        match self.0 {
            // One more says whether there are more.
            None => wanted + 1,
            Some(_) => LOOKED_THROUGH,
        }
    }
}

/// Events in the order of the feed, with the payments they happened to.
#[derive(Debug, Default)]
pub(crate) struct Events {
    events: Vec<FeedEvent>,
    payments: HashMap<PaymentId, Payment>,
    /// Whether there are more already.
    pub(crate) more: bool,
}

impl Events {
    /// As endpoints are told of them, each with its position.
    pub(crate) fn told(&self) -> impl Iterator<Item = (&FeedEvent, WebhookBody<'_>)> {
        self.events.iter().filter_map(|event| {
            let payment = self.payments.get(&event.payment)?;
            Some((event, told(event, payment)))
        })
    }
}

/// An event as endpoints are told of it.
pub(crate) fn told<'a>(event: &FeedEvent, payment: &'a Payment) -> WebhookBody<'a> {
    let FeedEvent { id, kind, standing, .. } = *event;
    WebhookBody::new(&WebhookEvent { id, kind, payment, standing })
}

/// A reader of an account's feed.
pub(crate) struct Reader {
    app: App,
    account: AccountId,
    kinds: Kinds,
    position: FeedPosition,
    lookout: AccountLookout,
}

impl Reader {
    /// Begins behind a position.
    pub(crate) fn new(app: App, account: AccountId, kinds: Kinds, position: FeedPosition) -> Self {
        let lookout = app.watchtower().look_out_for(account);
        Self { app, account, kinds, position, lookout }
    }

    /// Where it has come to.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor(self.position)
    }

    /// The next events that are wanted, at most so many. There may be none, and more all the same,
    /// where those that were looked through are of other types.
    pub(crate) async fn read(&mut self, most: usize) -> Result<Events, Refusal> {
        let looked_through = self.kinds.looked_through(most);
        let limit = u32::try_from(looked_through).unwrap_or(u32::MAX);
        let found = self.app.store().feed(self.account, self.position, limit).await?;
        let mut more = found.len() >= looked_through;
        let mut events = Vec::new();
        for event in found {
            if events.len() == most {
                more = true;
                break;
            }
            self.position = event.position;
            if self.kinds.want(event.kind) {
                events.push(event);
            }
        }
        let ids: HashSet<PaymentId> = events.iter().map(|event| event.payment).collect();
        let ids: Vec<PaymentId> = ids.into_iter().collect();
        let payments = self.app.store().load(&ids).await?;
        let payments = payments.into_iter().map(|payment| (payment.id, payment)).collect();
        Ok(Events { events, payments, more })
    }

    /// The same, as soon as there is one; none when the deadline has come, or the process stops, and
    /// perhaps more all the same, where there was no time to look through them.
    pub(crate) async fn next(&mut self, most: usize, deadline: Instant) -> Result<Events, Refusal> {
        let mut held_back_for = HELD_BACK;
        loop {
            // Asked before the events are read: what is let go in between is among them.
            let is_held_back = self.app.store().feed_is_held_back(self.account).await?;
            let events = self.read(most).await?;
            if !events.events.is_empty() {
                return Ok(events);
            }
            if events.more && Instant::now() < deadline {
                continue;
            }
            let watchtower = self.app.watchtower();
            let recheck = watchtower.recheck().saturating_mul(RECHECKS);
            let pause = if is_held_back {
                let pause = held_back_for.min(recheck);
                held_back_for = pause.saturating_mul(2);
                pause
            } else {
                held_back_for = HELD_BACK;
                recheck
            };
            if watchtower.wait_for_news(&mut self.lookout, pause, deadline).await != Ended::Changed
            {
                return Ok(events);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_as_it_was_written_and_nothing_else_is_one() {
        let position = FeedPosition { written_by: u64::MAX - 1, event: Uuid::from_u128(7) };
        assert_eq!(Cursor(position).to_string().parse(), Ok(Cursor(position)));
        for other in ["", "x", "AQ", &"A".repeat(34), &"A".repeat(10_000)] {
            assert_eq!(other.parse::<Cursor>(), Err(NoCursor), "{other:.20}");
        }
    }

    #[test]
    fn types_are_named_with_commas_and_must_be_known() {
        let kinds: Kinds = "payment.settled, payment.failed".parse().unwrap();
        assert!(kinds.want(EventType::Failed) && !kinds.want(EventType::Accepted));
        assert!("payment.settled,".parse::<Kinds>().is_err());
        assert!("".parse::<Kinds>().is_err());
        assert!(Kinds::default().want(EventType::Accepted));
    }
}
