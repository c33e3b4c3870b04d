use alloy_primitives::B256;
use uuid::Uuid;

use super::*;
use crate::TransactionId;

const UNTIL: Timestamp = Timestamp::from_unix_secs(1_000);

fn submission() -> Submission {
    Submission { transaction: TransactionId::new(Uuid::from_u128(1)), approved_until: UNTIL }
}

fn inclusion() -> Inclusion {
    Inclusion {
        tx_hash: B256::repeat_byte(1),
        log_index: 3,
        block_number: 9,
        block_hash: B256::repeat_byte(2),
    }
}

fn states() -> Vec<(&'static str, PaymentState)> {
    use PaymentState as S;
    vec![
        ("accepted", S::Accepted),
        ("held", S::Held { until: UNTIL }),
        ("approved", S::Approved { until: UNTIL }),
        ("submitted", S::Submitted(submission())),
        ("confirmed", S::Confirmed { inclusion: inclusion(), submission: Some(submission()) }),
        ("confirmed by others", S::Confirmed { inclusion: inclusion(), submission: None }),
        ("settled", S::Settled { inclusion: inclusion() }),
        ("rejected", S::Rejected(FailureCode::Denied)),
        ("canceled", S::Canceled),
        ("expired", S::Expired),
        ("failed", S::Failed(FailureCode::AuthorizationUsed)),
    ]
}

fn events() -> Vec<Event> {
    vec![
        Event::Held { until: UNTIL },
        Event::Approved { until: UNTIL },
        Event::ApprovalExpired,
        Event::Rejected(FailureCode::InsufficientFunds),
        Event::Submitted(submission()),
        Event::Returned,
        Event::Included(inclusion()),
        Event::Reorged,
        Event::Finalized,
        Event::Canceled,
        Event::Expired,
        Event::Failed(FailureCode::AuthorizationUsed),
    ]
}

fn table() -> String {
    let name = |event: &Event| event.event_type().as_str().trim_start_matches("payment.");
    let mut table = format!("{:20}", "");
    for event in events() {
        table += &format!("{:10}", name(&event));
    }
    for (from, state) in states() {
        table += &format!("\n{from:20}");
        for event in events() {
            let to = transition(state, event).map_or("-", |to| to.name().as_str());
            table += &format!("{to:10}");
        }
    }
    table.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_state_machine_on_one_page() {
    insta::assert_snapshot!(table());
}

#[test]
fn a_terminal_state_takes_nothing_more() {
    for (_, state) in states().into_iter().filter(|(_, state)| state.is_terminal()) {
        for event in events() {
            assert!(transition(state, event).is_err(), "{state:?} took {event:?}");
        }
    }
}

#[test]
fn a_payment_in_a_block_or_a_transaction_is_never_rejected_or_canceled() {
    for (_, state) in states() {
        let sent = matches!(state, PaymentState::Submitted(_) | PaymentState::Confirmed { .. });
        for event in [Event::Rejected(FailureCode::Denied), Event::Canceled] {
            assert!(!sent || transition(state, event).is_err());
        }
    }
}

#[test]
fn a_returned_payment_keeps_the_validity_of_its_approval() {
    let state = transition(PaymentState::Submitted(submission()), Event::Returned);
    assert_eq!(state, Ok(PaymentState::Approved { until: UNTIL }));
}

#[test]
fn a_reorganisation_returns_a_payment_to_the_transaction_that_carried_it() {
    let confirmed =
        PaymentState::Confirmed { inclusion: inclusion(), submission: Some(submission()) };
    assert_eq!(transition(confirmed, Event::Reorged), Ok(PaymentState::Submitted(submission())));
}
