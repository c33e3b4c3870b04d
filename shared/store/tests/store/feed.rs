//! The feed of an account's events, read while they are being written.

use std::collections::HashSet;

use domain::{AccountId, Event, EventId, EventType, FailureCode, PaymentId, Standing};
use store::{Change, FeedEvent, FeedPosition, Store};
use testkit::eventually;
use uuid::Uuid;

use crate::ledger::{
    Ledger, PATIENCE, all_moved, authorization, change, intake, later, unique_hash,
};
use crate::settling::inclusion;

const START: FeedPosition = FeedPosition { written_by: 0, event: Uuid::nil() };

/// The feed once it holds so many events: other tests' transactions hold it back too.
async fn whole(ledger: &Ledger, count: usize) -> Vec<FeedEvent> {
    eventually(PATIENCE, || async {
        let events = ledger.store().feed(ledger.seller, START, 1_000).await.unwrap();
        (events.len() == count).then_some(events)
    })
    .await
}

fn payments(events: &[FeedEvent]) -> Vec<(PaymentId, u32)> {
    events.iter().map(|event| (event.payment, event.standing.version)).collect()
}

#[tokio::test]
async fn an_event_that_is_committed_after_a_later_one_is_not_skipped() {
    let ledger = Ledger::open().await;
    let (slow, quick) = (ledger.payment().await, ledger.payment().await);
    let before = whole(&ledger, 2).await;
    // Its number in the feed is given now, and its transaction is the last to end.
    let late = ledger
        .hold(&format!(
            "insert into payment_events (payment_id, version, id, account_id, type, state, at, detail)
             values ('{}', 2, gen_random_uuid(), '{}', 'payment.canceled', 'canceled', now(), '{{}}')",
            slow.id.uuid(),
            ledger.seller.uuid(),
        ))
        .await;
    ledger.apply(std::slice::from_ref(&quick), Event::Canceled).await;

    let meanwhile = ledger.store().feed(ledger.seller, START, 10).await.unwrap();
    assert_eq!(payments(&meanwhile), payments(&before), "shown before it is its turn");
    assert!(ledger.store().feed_is_held_back(ledger.seller).await.unwrap());

    late.commit().await.unwrap();
    let then = whole(&ledger, 4).await;
    assert_eq!(payments(&then[2..]), [(slow.id, 2), (quick.id, 2)]);
    assert!(!ledger.store().feed_is_held_back(ledger.seller).await.unwrap());
}

/// Accepts so many payments, each in a transaction of its own.
async fn write(store: Store, account: AccountId, count: usize) -> Vec<EventId> {
    let mut written = Vec::new();
    for _ in 0..count {
        let intake = intake(account, &authorization());
        written.push(intake.event);
        store.accept(vec![intake]).await.unwrap();
    }
    written
}

#[tokio::test]
async fn who_reads_on_while_many_write_misses_nothing_and_reads_nothing_twice() {
    const WRITERS: usize = 6;
    const EACH: usize = 40;
    let ledger = Ledger::open().await;
    let writers: Vec<_> =
        (0..WRITERS).map(|_| tokio::spawn(write(ledger.handle(1), ledger.seller, EACH))).collect();

    let mut read: Vec<FeedEvent> = Vec::new();
    while read.len() < WRITERS * EACH {
        let position = read.last().map_or(START, |event| event.position);
        let page = eventually(PATIENCE, || async {
            let page = ledger.store().feed(ledger.seller, position, 7).await.unwrap();
            (!page.is_empty()).then_some(page)
        });
        read.extend(page.await);
    }

    let mut written = HashSet::new();
    for writer in writers {
        written.extend(writer.await.unwrap());
    }
    assert_eq!(read.len(), written.len());
    assert_eq!(read.iter().map(|event| event.id).collect::<HashSet<_>>(), written);
}

#[tokio::test]
async fn each_event_shows_the_payment_as_it_stood_then() {
    let ledger = Ledger::open().await;
    let mut payment = ledger.payment().await;
    let mut expected = vec![Standing::of(&payment, None)];
    let carrier = Some(unique_hash());
    for (event, carrier) in [
        (Event::Approved { until: later(600) }, carrier),
        (Event::Included(inclusion()), None),
        (Event::Finalized, None),
    ] {
        let change = Change { carrier, ..change(&payment, event) };
        let advance = ledger.store().advance(vec![change], later(1)).await.unwrap();
        payment = all_moved(advance).remove(0);
        expected.push(Standing::of(&payment, carrier));
    }
    let unhappy = ledger.payment().await;
    expected.push(Standing::of(&unhappy, None));
    let rejected = Event::Rejected(FailureCode::InsufficientFunds);
    let unhappy = ledger.apply(&[unhappy], rejected).await.remove(0);
    expected.push(Standing::of(&unhappy, None));

    let events = whole(&ledger, expected.len()).await;
    let standings: Vec<Standing> = events.iter().map(|event| event.standing).collect();
    assert_eq!(standings, expected);
    assert_eq!(events[2].kind, EventType::Confirmed);
    let timeline = ledger.store().timeline(payment.id).await.unwrap();
    let standings: Vec<Standing> = timeline.iter().map(|it| it.standing().unwrap()).collect();
    assert_eq!(standings, expected[..4]);
}

#[tokio::test]
async fn the_feed_of_an_account_holds_nobody_elses_events() {
    let ledger = Ledger::open().await;
    ledger.payment().await;
    let event = whole(&ledger, 1).await.remove(0);
    let stranger = ledger.account().await;

    assert_eq!(ledger.store().feed(stranger, START, 10).await.unwrap(), []);
    assert_eq!(ledger.store().find_event(stranger, event.id).await.unwrap(), None);
    assert!(!ledger.store().feed_is_held_back(stranger).await.unwrap());
    assert_eq!(ledger.store().find_event(ledger.seller, event.id).await.unwrap(), Some(event));
}

#[tokio::test]
async fn what_happens_after_the_end_was_looked_up_is_behind_it() {
    let ledger = Ledger::open().await;
    ledger.payment().await;
    whole(&ledger, 1).await;
    let end = ledger.store().feed_end().await.unwrap();
    assert_eq!(ledger.store().feed(ledger.seller, end, 10).await.unwrap(), []);

    let payment = ledger.payment().await;
    let seen = eventually(PATIENCE, || async {
        let events = ledger.store().feed(ledger.seller, end, 10).await.unwrap();
        (!events.is_empty()).then_some(events)
    })
    .await;
    assert_eq!(payments(&seen), [(payment.id, 1)]);
}
