//! Changes of payments: each takes place once, whole, or not at all.

use domain::{Event, EventType, FailureCode, Payment, PaymentState, StateName};
use futures::future::join_all;
use store::{Advanced, Change, StoreError};

use crate::ledger::{Ledger, NOW, all_moved, authorization, change, intake, keyed, later};
use crate::settling::inclusion;

fn approve() -> Event {
    Event::Approved { until: later(600) }
}

#[tokio::test]
async fn a_change_moves_its_payment_to_the_next_version() {
    let ledger = Ledger::open().await;
    let payment = ledger.payment().await;
    let advance = ledger.store().advance(vec![change(&payment, approve())], later(5)).await;

    let moved = all_moved(advance.unwrap()).remove(0);
    let expected = Payment {
        version: 2,
        updated_at: later(5),
        state: PaymentState::Approved { until: later(600) },
        ..payment
    };
    assert_eq!(moved, expected);
    assert_eq!(ledger.reload(moved.id).await, expected);
    ledger.assert_journal_is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_changes_at_the_same_instant_one_takes_place_and_the_others_are_overtaken() {
    let ledger = Ledger::open().await;
    let events = [
        approve(),
        Event::Held { until: later(60) },
        Event::Rejected(FailureCode::Denied),
        Event::Canceled,
        Event::Expired,
        Event::Included(inclusion()),
    ];
    for payment in ledger.payments(20).await {
        let changes = events.map(|event| {
            let (store, change) = (ledger.store().clone(), change(&payment, event));
            tokio::spawn(async move { store.advance(vec![change], NOW).await })
        });
        let outcomes = join_all(changes)
            .await
            .into_iter()
            .flat_map(|advance| advance.unwrap().unwrap().outcomes);
        let (moved, rest): (Vec<_>, Vec<_>) =
            outcomes.partition(|outcome| matches!(outcome, Advanced::Moved(_)));
        assert_eq!(moved.len(), 1);
        assert!(rest.iter().all(|outcome| matches!(outcome, Advanced::Overtaken)), "{rest:?}");
    }
    ledger.assert_journal_is_whole().await;
}

#[tokio::test]
async fn a_change_of_a_payment_as_it_was_is_overtaken() {
    let ledger = Ledger::open().await;
    let accepted = ledger.payment().await;
    let approved = ledger.apply(std::slice::from_ref(&accepted), approve()).await.remove(0);

    let advance = ledger.store().advance(vec![change(&accepted, Event::Canceled)], NOW).await;
    assert!(matches!(advance.unwrap().outcomes[..], [Advanced::Overtaken]));
    assert_eq!(ledger.reload(accepted.id).await, approved);
}

#[tokio::test]
async fn a_change_that_cannot_be_keeps_no_other_from_taking_place() {
    let ledger = Ledger::open().await;
    let [fit, unfit, stale]: [Payment; 3] = ledger.payments(3).await.try_into().unwrap();
    ledger.apply(std::slice::from_ref(&stale), approve()).await;
    let changes = vec![
        change(&unfit, Event::Finalized),
        change(&stale, Event::Canceled),
        change(&fit, approve()),
    ];

    let advance = ledger.store().advance(changes, NOW).await.unwrap();
    match &advance.outcomes[..] {
        [Advanced::Refused(refused), Advanced::Overtaken, Advanced::Moved(moved)] => {
            assert_eq!(refused.event, EventType::Settled);
            assert_eq!(moved.id, fit.id);
        }
        other => panic!("each change has its own outcome: {other:?}"),
    }
    assert_eq!(advance.moved().count(), 1);
    assert_eq!(ledger.reload(unfit.id).await, unfit);
    ledger.assert_journal_is_whole().await;
}

#[tokio::test]
async fn a_payment_that_is_named_twice_takes_its_changes_one_after_the_other() {
    let ledger = Ledger::open().await;
    let [one, other, third]: [Payment; 3] = ledger.payments(3).await.try_into().unwrap();
    let ahead = Payment { version: 2, ..third.clone() };
    let changes = vec![
        change(&one, Event::Included(inclusion())),
        change(&other, Event::Canceled),
        change(&third, approve()),
        change(&one, Event::Finalized),
        // What is over does not change any more, and what is named otherwise is somebody else's.
        change(&other, approve()),
        change(&ahead, Event::Canceled),
    ];

    let outcomes = ledger.store().advance(changes, NOW).await.unwrap().outcomes;
    use Advanced::{Moved, Overtaken, Refused};
    let [Moved(confirmed), Moved(_), Moved(_), Moved(settled), Refused(_), Overtaken] =
        &outcomes[..]
    else {
        panic!("{outcomes:?}")
    };
    assert_eq!((confirmed.version, confirmed.state.name()), (2, StateName::Confirmed));
    assert_eq!((settled.version, settled.state.name()), (3, StateName::Settled));
    assert_eq!(ledger.reload(one.id).await, **settled);
    assert_eq!(ledger.reload(other.id).await.state, PaymentState::Canceled);
    assert_eq!(ledger.reload(third.id).await.version, 2);
    ledger.assert_journal_is_whole().await;
}

#[tokio::test]
async fn of_several_changes_of_a_payment_that_has_moved_none_takes_place() {
    let ledger = Ledger::open().await;
    let accepted = ledger.payment().await;
    let approved = ledger.apply(std::slice::from_ref(&accepted), approve()).await.remove(0);
    let changes =
        vec![change(&accepted, Event::Included(inclusion())), change(&accepted, Event::Finalized)];

    let outcomes = ledger.store().advance(changes, NOW).await.unwrap().outcomes;
    assert!(matches!(outcomes[..], [Advanced::Overtaken, Advanced::Overtaken]), "{outcomes:?}");
    assert_eq!(ledger.reload(accepted.id).await, approved);
    ledger.assert_journal_is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_waits_for_another_and_judges_what_became_of_it() {
    let ledger = Ledger::open().await;
    for (meanwhile, commits, moves) in [
        ("due_at = now(), rings = rings + 1", true, true),
        ("version = version + 1", true, false),
        ("version = version + 1", false, true),
    ] {
        let payment = ledger.payment().await;
        let update = format!("update payments set {meanwhile} where id = '{}'", payment.id.uuid());
        let holder = ledger.hold(&update).await;
        let (store, change) = (ledger.store().clone(), change(&payment, approve()));
        let task = tokio::spawn(async move { store.advance(vec![change], NOW).await.unwrap() });
        ledger.until_waiting(1).await;
        if commits { holder.commit().await } else { holder.rollback().await }.unwrap();

        let outcome = task.await.unwrap().outcomes.remove(0);
        assert_eq!(matches!(outcome, Advanced::Moved(_)), moves, "{meanwhile}: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_the_same_payments_in_any_order_never_wait_in_a_circle() {
    let ledger = Ledger::open().await;
    let mut payments = ledger.payments(60).await;
    for round in 0..30 {
        let next = |payment: &Payment| match payment.state {
            PaymentState::Approved { .. } => change(payment, Event::ApprovalExpired),
            _ => change(payment, approve()),
        };
        let mut tasks = Vec::new();
        for process in 0..6 {
            let mut changes: Vec<Change> = payments.iter().map(next).collect();
            changes.rotate_left((process * 7 + round) % payments.len());
            if process % 2 == 1 {
                changes.reverse();
            }
            let store = ledger.store().clone();
            tasks.push(tokio::spawn(async move { store.advance(changes, NOW).await }));
        }
        let advances = join_all(tasks).await;
        let moved: usize = advances
            .iter()
            .map(|advance| advance.as_ref().unwrap().as_ref().unwrap().moved().count())
            .sum();
        assert_eq!(moved, payments.len(), "each payment moves once");
        let ids: Vec<_> = payments.iter().map(|payment| payment.id).collect();
        payments = ledger.store().load(&ids).await.unwrap();
    }
    ledger.assert_journal_is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_are_locked_in_one_order_whatever_that_of_the_changes() {
    let ledger = Ledger::open().await;
    // As the server plans it once payments are many: one by one, in the order of the changes.
    ledger
        .sql(
            "do $$ begin
                 execute format('alter database %I set enable_hashjoin = off', current_database());
                 execute format('alter database %I set enable_mergejoin = off', current_database());
                 execute format('alter database %I set enable_seqscan = off', current_database());
             end $$",
        )
        .await
        .unwrap();
    let mut payments = ledger.payments(9).await;
    payments.sort_by_key(|payment| payment.id);
    let middle = format!("update payments set rings = 1 where id = '{}'", payments[4].id.uuid());
    let middle = ledger.hold(&middle).await;
    let ascending: Vec<Change> = payments.iter().map(|one| change(one, approve())).collect();
    let descending = ascending.iter().rev().cloned().collect();
    let tasks = [ascending, descending].map(|changes| {
        let store = ledger.handle(1);
        tokio::spawn(async move { store.advance(changes, NOW).await })
    });
    ledger.until_waiting(2).await;
    middle.commit().await.unwrap();

    let advances = join_all(tasks).await;
    let moved = advances.iter().map(|advance| advance.as_ref().unwrap().as_ref().unwrap().moved());
    assert_eq!(moved.map(Iterator::count).sum::<usize>(), 9);
}

#[tokio::test]
async fn a_change_whose_deliveries_cannot_be_written_leaves_nothing() {
    let ledger = Ledger::open().await;
    ledger.endpoint(ledger.seller, &EventType::ALL).await;
    let payment = ledger.payment().await;
    ledger
        .sql(
            "create function refuse() returns trigger language plpgsql
                 as $$ begin raise exception 'no room'; end $$;
             create trigger refuse before insert on webhook_deliveries
                 for each row execute function refuse()",
        )
        .await
        .unwrap();

    let refused = ledger.store().advance(vec![change(&payment, approve())], NOW).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    let submitted = keyed(intake(ledger.seller, &authorization()), "order-1", 1);
    assert!(ledger.store().accept(vec![submitted]).await.is_err());
    assert_eq!(ledger.reload(payment.id).await, payment);
    assert_eq!(ledger.count("payments", "true").await, 1);
    assert_eq!(ledger.count("idempotency_keys", "true").await, 0);
    ledger.assert_journal_is_whole().await;
}
