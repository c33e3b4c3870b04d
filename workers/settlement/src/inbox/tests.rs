use std::sync::Arc;

use futures::FutureExt;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::*;

const LANE: Address = Address::repeat_byte(1);
const OTHER: Address = Address::repeat_byte(2);

fn payment(number: u128) -> PaymentId {
    PaymentId::new(Uuid::from_u128(number))
}

/// One that never waits for company.
fn inbox(most: usize) -> Arc<Inbox> {
    Arc::new(Inbox::new(most, usize::MAX, Duration::ZERO))
}

/// Rings for payments that have not rung yet.
async fn ring(inbox: &Arc<Inbox>, numbers: std::ops::Range<u128>) {
    let expected = inbox.lock().order.len() + numbers.clone().count();
    for number in numbers {
        let inbox = Arc::clone(inbox);
        tokio::spawn(async move { inbox.submit(payment(number)).await });
    }
    while inbox.lock().order.len() < expected {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_payment_that_rings_twice_is_dealt_with_once_for_both_callers() {
    let inbox = inbox(10);
    let callers: Vec<_> = (0..2)
        .map(|_| {
            let inbox = Arc::clone(&inbox);
            tokio::spawn(async move { inbox.submit(payment(1)).await })
        })
        .collect();
    // Both callers are in once two have left their senders.
    while inbox.lock().callers.get(&payment(1)).map_or(0, Vec::len) < 2 {
        tokio::task::yield_now().await;
    }
    let tickets = inbox.take(LANE).await;
    assert_eq!(tickets.len(), 1);
    tickets.into_iter().for_each(Ticket::complete);
    for caller in callers {
        assert!(caller.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn a_payment_that_is_put_back_waits_with_all_its_callers() {
    let inbox = inbox(10);
    let submit = || {
        let inbox = Arc::clone(&inbox);
        tokio::spawn(async move { inbox.submit(payment(1)).await })
    };
    let first = submit();
    let taken = inbox.take(LANE).await;
    let second = submit();
    while inbox.lock().callers.is_empty() {
        tokio::task::yield_now().await;
    }
    inbox.put_back(taken);
    let tickets = inbox.take(LANE).await;
    assert_eq!(tickets.len(), 1);
    tickets.into_iter().for_each(Ticket::complete);
    assert!(first.await.unwrap().is_ok() && second.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_dropped_ticket_sends_its_callers_away() {
    let inbox = inbox(10);
    let submitting = Arc::clone(&inbox);
    let caller = tokio::spawn(async move { submitting.submit(payment(1)).await });
    drop(inbox.take(LANE).await);
    assert!(matches!(caller.await.unwrap(), Err(SettleError::NoLane)));
}

#[tokio::test]
async fn a_round_takes_no_more_than_it_can_carry() {
    let inbox = inbox(3);
    ring(&inbox, 0..5).await;
    assert_eq!(inbox.take(LANE).await.len(), 3);
    assert_eq!(inbox.take(LANE).await.len(), 2);
}

#[tokio::test]
async fn a_caller_that_has_given_up_is_forgotten() {
    let inbox = inbox(10);
    for _ in 0..3 {
        // Nobody takes it, so that its first look is also its last.
        tokio::select! {
            biased;
            _ = inbox.submit(payment(1)) => panic!("nobody dealt with it"),
            () = std::future::ready(()) => {}
        }
    }
    assert_eq!(inbox.lock().callers[&payment(1)].len(), 1);
    assert_eq!(inbox.take(LANE).await.len(), 1);
}

#[tokio::test]
async fn a_payment_alone_waits_for_nobody_and_those_that_follow_soon_wait_for_company() {
    let inbox = Arc::new(Inbox::new(3, usize::MAX, Duration::from_secs(3_600)));
    ring(&inbox, 0..1).await;
    assert_eq!(inbox.take(LANE).await.len(), 1);

    ring(&inbox, 1..3).await;
    let mut lanes: Vec<_> = (0..2).map(|_| Box::pin(inbox.take(LANE))).collect();
    for lane in &mut lanes {
        assert!(lane.now_or_never().is_none(), "two of three did not wait");
    }
    // The lane that heard the bells goes; the other must hear of the third.
    drop(lanes.remove(0));
    ring(&inbox, 3..4).await;
    assert_eq!(lanes.remove(0).await.len(), 3);
}

#[tokio::test]
async fn company_is_not_waited_for_for_ever() {
    let inbox = Arc::new(Inbox::new(3, usize::MAX, Duration::from_millis(20)));
    for number in 0..3 {
        ring(&inbox, number..number + 1).await;
        assert_eq!(inbox.take(LANE).await.len(), 1);
    }
}

#[tokio::test]
async fn a_round_is_full_when_no_more_can_wait_at_once() {
    let inbox = Arc::new(Inbox::new(3, 2, Duration::from_secs(3_600)));
    for numbers in [0..1, 1..3] {
        let expected = numbers.clone().count();
        ring(&inbox, numbers).await;
        assert_eq!(inbox.take(LANE).await.len(), expected);
    }
}

#[tokio::test]
async fn after_a_round_that_has_sent_nothing_a_payment_alone_waits_for_nobody() {
    let inbox = Arc::new(Inbox::new(3, usize::MAX, Duration::from_secs(3_600)));
    for number in 0..2 {
        ring(&inbox, number..number + 1).await;
        assert_eq!(inbox.take(LANE).await.len(), 1);
        inbox.note_nothing_sent();
    }
}

#[tokio::test]
async fn what_is_put_back_can_fill_a_round() {
    let inbox = Arc::new(Inbox::new(2, usize::MAX, Duration::from_secs(3_600)));
    ring(&inbox, 0..2).await;
    let taken = inbox.take(LANE).await;
    let mut lane = Box::pin(inbox.take(LANE));
    assert!((&mut lane).now_or_never().is_none());
    inbox.put_back(taken);
    assert_eq!(lane.await.len(), 2);
}

/// A ticket of a payment that has been taken, and whoever waits for it.
async fn taken(inbox: &Arc<Inbox>, number: u128) -> (Ticket, JoinHandle<Result<(), SettleError>>) {
    let submitting = Arc::clone(inbox);
    let caller = tokio::spawn(async move { submitting.submit(payment(number)).await });
    (inbox.take(LANE).await.remove(0), caller)
}

#[tokio::test]
async fn what_one_signer_alone_can_make_waits_for_that_one() {
    let inbox = inbox(10);
    inbox.serve(HashSet::from([LANE, OTHER]));
    let (ticket, caller) = taken(&inbox, 1).await;
    let mut its_own = Box::pin(inbox.take(OTHER));
    assert!((&mut its_own).now_or_never().is_none());

    assert!(inbox.pass_on(OTHER, ticket).is_none());
    assert!(inbox.take(LANE).now_or_never().is_none(), "another signer's line");
    ring(&inbox, 2..3).await;
    assert_eq!(inbox.take(LANE).await[0].payment, payment(2), "it keeps nobody waiting");

    its_own.await.into_iter().for_each(Ticket::complete);
    assert!(caller.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_lane_takes_its_own_line_first_and_no_more_than_a_round_carries() {
    let inbox = inbox(2);
    inbox.serve(HashSet::from([LANE]));
    let mut callers = Vec::new();
    for number in 1..=3 {
        let (ticket, caller) = taken(&inbox, number).await;
        callers.push((ticket, caller));
    }
    ring(&inbox, 4..5).await;
    for (ticket, _) in callers {
        assert!(inbox.pass_on(LANE, ticket).is_none());
    }
    let rounds = [inbox.take(LANE).await, inbox.take(LANE).await];
    let numbers = rounds.map(|round| round.iter().map(|ticket| ticket.payment).collect::<Vec<_>>());
    assert_eq!(numbers, [vec![payment(1), payment(2)], vec![payment(3), payment(4)]]);
}

#[tokio::test]
async fn whoever_waits_for_a_signer_that_does_not_work_here_is_sent_away() {
    let inbox = inbox(10);
    inbox.serve(HashSet::from([LANE]));
    let (ticket, caller) = taken(&inbox, 1).await;
    inbox.pass_on(OTHER, ticket).unwrap().complete();
    assert!(caller.await.unwrap().is_ok(), "it is passed on to another process");

    inbox.serve(HashSet::from([LANE, OTHER]));
    let (ticket, caller) = taken(&inbox, 2).await;
    assert!(inbox.pass_on(OTHER, ticket).is_none());
    inbox.serve(HashSet::from([LANE]));
    assert!(matches!(caller.await.unwrap(), Err(SettleError::NoLane)));

    inbox.serve(HashSet::from([LANE, OTHER]));
    assert!(inbox.take(OTHER).now_or_never().is_none());
    ring(&inbox, 2..3).await;
    assert_eq!(inbox.take(OTHER).await.len(), 1, "it rings again");
}

#[tokio::test]
async fn what_rings_while_it_waits_for_its_signer_waits_once() {
    let inbox = inbox(10);
    inbox.serve(HashSet::from([LANE, OTHER]));
    let (ticket, first) = taken(&inbox, 1).await;
    assert!(inbox.pass_on(OTHER, ticket).is_none());
    let submitting = Arc::clone(&inbox);
    let second = tokio::spawn(async move { submitting.submit(payment(1)).await });
    while inbox.lock().callers.get(&payment(1)).map_or(0, Vec::len) < 2 {
        tokio::task::yield_now().await;
    }
    assert!(inbox.take(LANE).now_or_never().is_none());
    inbox.take(OTHER).await.into_iter().for_each(Ticket::complete);
    assert!(first.await.unwrap().is_ok() && second.await.unwrap().is_ok());
}
