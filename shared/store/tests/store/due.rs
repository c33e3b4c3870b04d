//! Payments that nobody has looked at in time.

use std::collections::HashSet;
use std::time::Duration;

use domain::{ChainId, Event, FailureCode, Payment, PaymentId, StateName, Timestamp, schedule};
use futures::future::join_all;
use sqlx::Row;
use store::{Due, HoldDecision, Lines, Store};

use crate::ledger::{Ledger, NOW, later};
use crate::settling::inclusion;

pub(crate) async fn due_at(ledger: &Ledger, payment: PaymentId) -> Option<Timestamp> {
    let query = format!(
        "select (extract(epoch from due_at) * 1000)::bigint from payments where id = '{}'",
        payment.uuid(),
    );
    let due: Option<i64> = ledger.rows(&query).await[0].get(0);
    due.map(Timestamp::from_unix_ms)
}

fn ids(due: &[Due]) -> HashSet<PaymentId> {
    due.iter().map(|due| due.payment).collect()
}

#[tokio::test]
async fn a_payment_is_due_when_its_time_has_come_and_not_before() {
    let ledger = Ledger::open().await;
    let payment = ledger.payment().await;
    let due = schedule::due_at(&payment.state, 0, NOW).unwrap();
    let before = Timestamp::from_unix_ms(due.unix_ms() - 1);
    assert!(ledger.store().take_due(10, &Lines::default(), before).await.unwrap().is_empty());

    let taken = ledger.store().take_due(10, &Lines::default(), due).await.unwrap();
    let chain = payment.authorization.chain;
    assert_eq!(taken, [Due { payment: payment.id, state: StateName::Accepted, chain }]);
    assert!(
        ledger.store().take_due(10, &Lines::default(), due).await.unwrap().is_empty(),
        "it was put off"
    );
}

#[tokio::test]
async fn who_may_stand_in_line_is_taken_once_it_has_been_due_for_longer_than_the_line() {
    let ledger = Ledger::open().await;
    let payment = ledger.payment().await;
    let due = schedule::due_at(&payment.state, 0, NOW).unwrap();
    let lines = Lines { risk: Duration::from_secs(20), ..Lines::default() };
    let before = Timestamp::from_unix_ms(due.plus(lines.risk).unix_ms() - 1);
    assert!(ledger.store().take_due(10, &lines, before).await.unwrap().is_empty());

    let now = due.plus(lines.risk);
    assert_eq!(ids(&ledger.store().take_due(10, &lines, now).await.unwrap()), [payment.id].into());
    let next = schedule::due_at(&payment.state, 1, now);
    assert_eq!(due_at(&ledger, payment.id).await, next, "put off from now on");
}

#[tokio::test]
async fn a_line_keeps_nobody_waiting_who_does_not_stand_in_it() {
    let ledger = Ledger::open().await;
    let accepted = ledger.payment().await;
    let approved = ledger.approved(1).await.remove(0);
    let long = Duration::from_secs(30);
    let settlement = |chain| Lines { settlement: [(chain, long)].into(), ..Lines::default() };
    let here = approved.authorization.chain;
    let elsewhere = ChainId::new(here.get() + 1).unwrap();
    let due = [&accepted, &approved].map(|it| schedule::due_at(&it.state, 0, it.updated_at));
    let now = due.into_iter().flatten().max().unwrap();
    let taken = async |lines: Lines| {
        // Whatever is taken is due as before when it is asked for again.
        ledger.sql(&format!("update payments set due_at = '{now}', rings = 0")).await.unwrap();
        ids(&ledger.store().take_due(10, &lines, now).await.unwrap())
    };

    assert_eq!(taken(settlement(here)).await, [accepted.id].into());
    assert_eq!(taken(Lines { risk: long, ..Lines::default() }).await, [approved.id].into());
    assert_eq!(taken(settlement(elsewhere)).await, [accepted.id, approved.id].into());
}

#[tokio::test]
async fn each_ring_puts_a_payment_off_for_longer_until_it_changes() {
    let ledger = Ledger::open().await;
    let payment = ledger.payment().await;
    let mut waits = Vec::new();
    for _ in 0..8 {
        let due = due_at(&ledger, payment.id).await.unwrap();
        assert_eq!(ledger.store().take_due(10, &Lines::default(), due).await.unwrap().len(), 1);
        let next = due_at(&ledger, payment.id).await.unwrap();
        waits.push(Duration::from_millis(u64::try_from(next.unix_ms() - due.unix_ms()).unwrap()));
    }
    assert!(waits.is_sorted(), "{waits:?}");
    assert!(waits[0] < waits[1] && waits[6] == waits[7], "{waits:?}");

    let moved = ledger.apply(&[payment], Event::Approved { until: later(600) }).await.remove(0);
    let first = schedule::due_at(&moved.state, 0, moved.updated_at).unwrap();
    assert_eq!(due_at(&ledger, moved.id).await, Some(first), "the back-off begins anew");
    ledger.store().take_due(10, &Lines::default(), first).await.unwrap();
    let second = schedule::due_at(&moved.state, 1, first);
    assert_eq!(due_at(&ledger, moved.id).await, second, "and goes on from there");
}

#[tokio::test]
async fn the_longest_due_are_taken_first_up_to_the_limit() {
    let ledger = Ledger::open().await;
    let mut payments = Vec::new();
    for _ in 0..5 {
        payments.push(ledger.payment().await);
    }
    for (payment, secs) in payments.iter().zip([40, 10, 50, 20, 30]) {
        let at = later(secs).unix_secs();
        let set = format!(
            "update payments set due_at = to_timestamp({at}) where id = '{}'",
            payment.id.uuid(),
        );
        ledger.sql(&set).await.unwrap();
    }
    let taken = ledger.store().take_due(3, &Lines::default(), later(60)).await.unwrap();
    assert_eq!(ids(&taken), [1, 3, 4].map(|at: usize| payments[at].id).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_at_the_same_instant_share_what_is_due() {
    let ledger = Ledger::open().await;
    let payments = ledger.payments(300).await;
    let processes: Vec<Store> = (0..4).map(|_| ledger.handle(2)).collect();
    let mut now = later(10);
    for _ in 0..5 {
        let callers = (0..12).zip(processes.iter().cycle().cloned()).map(|(_, store)| {
            tokio::spawn(async move { store.take_due(25, &Lines::default(), now).await.unwrap() })
        });
        let taken: Vec<Due> =
            join_all(callers).await.into_iter().flat_map(Result::unwrap).collect();
        assert_eq!(ids(&taken).len(), taken.len(), "one was taken twice for one due time");
        let rest = ledger.store().take_due(1000, &Lines::default(), now).await.unwrap();
        assert_eq!(taken.len() + rest.len(), payments.len());
        now = now.plus(Duration::from_secs(61));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_being_changed_is_not_waited_for() {
    let ledger = Ledger::open().await;
    let payments = ledger.payments(2).await;
    let lock = format!("select 1 from payments where id = '{}' for update", payments[0].id.uuid());
    let _holder = ledger.hold(&lock).await;

    let taken = ledger.store().take_due(10, &Lines::default(), later(60)).await.unwrap();
    assert_eq!(ids(&taken), [payments[1].id].into());
}

#[tokio::test]
async fn what_is_over_is_never_due() {
    let ledger = Ledger::open().await;
    let ends: Vec<Vec<Event>> = vec![
        vec![Event::Rejected(FailureCode::Denied)],
        vec![Event::Canceled],
        vec![Event::Expired],
        vec![Event::Included(inclusion()), Event::Finalized],
    ];
    let mut over: Vec<Payment> = Vec::new();
    for events in ends {
        let mut payments = vec![ledger.payment().await];
        for event in events {
            payments = ledger.apply(&payments, event).await;
        }
        over.append(&mut payments);
    }
    let lane = ledger.lane().await;
    let (_, carried) = ledger.carried(&lane, 0, &ledger.approved(1).await).await;
    over.extend(ledger.apply(&carried, Event::Failed(FailureCode::AuthorizationUsed)).await);

    assert!(over.iter().all(|payment| payment.state.is_terminal()));
    let far_away = later(1_000_000_000);
    assert!(ledger.store().take_due(100, &Lines::default(), far_away).await.unwrap().is_empty());
    let backlog = ledger.store().backlog(100, far_away).await.unwrap();
    assert_eq!((backlog.payments, backlog.oldest_payment), (0, None));
}

#[tokio::test]
async fn a_hold_is_not_due_before_its_time_is_up() {
    let ledger = Ledger::open().await;
    let held = ledger.apply(&ledger.payments(1).await, Event::Held { until: later(900) }).await;
    assert!(ledger.store().take_due(10, &Lines::default(), later(899)).await.unwrap().is_empty());
    assert_eq!(
        ids(&ledger.store().take_due(10, &Lines::default(), later(900)).await.unwrap()),
        [held[0].id].into()
    );
}

#[tokio::test]
async fn a_hold_on_which_somebody_has_decided_is_due_like_any_payment_that_waits() {
    let ledger = Ledger::open().await;
    let held = ledger.apply(&ledger.payments(1).await, Event::Held { until: later(900) }).await;
    let decision = HoldDecision {
        payment: held[0].id,
        approved: true,
        reason: "they are known".to_owned(),
        by: ledger.key().await,
    };
    ledger.store().decide_hold(&decision, later(10)).await.unwrap();
    // Its payer's money is wanted by others, it is paused, or whoever looked was killed.
    for secs in [10, 100, 200] {
        let due = ledger.store().take_due(10, &Lines::default(), later(secs)).await.unwrap();
        assert_eq!(ids(&due), [held[0].id].into(), "after {secs} s");
    }
}

#[tokio::test]
async fn the_backlog_is_counted_up_to_a_bound_with_its_oldest() {
    let ledger = Ledger::open().await;
    ledger.endpoint(ledger.seller, &[domain::EventType::Accepted]).await;
    let payments = ledger.payments(5).await;
    let due = schedule::due_at(&payments[0].state, 0, NOW);

    let backlog = ledger.store().backlog(3, later(60)).await.unwrap();
    assert_eq!((backlog.payments, backlog.oldest_payment), (3, due));
    assert_eq!((backlog.deliveries, backlog.oldest_delivery), (3, Some(NOW)));
    let earlier = Timestamp::from_unix_ms(NOW.unix_ms() - 1);
    assert_eq!(ledger.store().backlog(3, earlier).await.unwrap().deliveries, 0);
}

#[tokio::test]
async fn the_first_submitted_payment_that_no_block_holds_tells_since_when() {
    let ledger = Ledger::open().await;
    let (approved, lane) = (ledger.approved(2).await, ledger.lane().await);
    assert_eq!(ledger.store().backlog(100, NOW).await.unwrap().oldest_submitted, None);
    let (_, submitted) = ledger.carried(&lane, 0, &approved).await;
    let since = submitted.iter().map(|payment| payment.updated_at).min();
    assert_eq!(ledger.store().backlog(100, later(90)).await.unwrap().oldest_submitted, since);
    ledger.apply(&submitted, Event::Included(inclusion())).await;
    assert_eq!(ledger.store().backlog(100, later(90)).await.unwrap().oldest_submitted, None);
}

#[tokio::test]
async fn payments_that_wait_for_somebody_are_counted() {
    let ledger = Ledger::open().await;
    let payments = ledger.payments(3).await;
    let held = ledger.apply(&payments[..2], Event::Held { until: later(60) }).await;
    assert_eq!(ledger.store().backlog(100, NOW).await.unwrap().held, 2);
    assert_eq!(ledger.store().backlog(1, NOW).await.unwrap().held, 1);
    ledger.apply(&held, Event::Canceled).await;
    assert_eq!(ledger.store().backlog(100, NOW).await.unwrap().held, 0);
}
