//! Payments on random ways through their states, each step compared with the state machine.

use domain::{
    Event, EventType, FailureCode, Payment, PaymentState, Submission, TransactionId, transition,
};
use proptest::prelude::*;
use sqlx::Row;
use store::{Advanced, AttemptKind};
use tokio::runtime::Runtime;

use crate::ledger::{Ledger, change, later};
use crate::settling::{attempt, inclusion, round};

/// An event, with a transaction that there is.
fn event(kind: EventType, code: FailureCode, transaction: TransactionId) -> Event {
    match kind {
        EventType::Accepted
        | EventType::Submitted
        | EventType::EndpointFailing
        | EventType::EndpointDisabled => {
            Event::Submitted(Submission { transaction, approved_until: later(700) })
        }
        EventType::Held => Event::Held { until: later(60) },
        EventType::Approved => Event::Approved { until: later(600) },
        EventType::Requeued => Event::ApprovalExpired,
        EventType::Returned => Event::Returned,
        EventType::Confirmed => Event::Included(inclusion()),
        EventType::Reorged => Event::Reorged,
        EventType::Settled => Event::Finalized,
        EventType::Rejected => Event::Rejected(code),
        EventType::Canceled => Event::Canceled,
        EventType::Expired => Event::Expired,
        EventType::Failed => Event::Failed(code),
    }
}

fn walk() -> impl Strategy<Value = Vec<(EventType, FailureCode)>> {
    // What ends a payment comes seldom, so that walks are long.
    let going_on = prop::sample::select(vec![
        EventType::Held,
        EventType::Approved,
        EventType::Requeued,
        EventType::Submitted,
        EventType::Returned,
        EventType::Confirmed,
        EventType::Reorged,
    ]);
    let any = prop::sample::select(EventType::ALL.to_vec());
    let step =
        (prop_oneof![6 => going_on, 1 => any], prop::sample::select(FailureCode::ALL.to_vec()));
    prop::collection::vec(step, 1..25)
}

#[test]
fn every_walk_is_stored_as_the_state_machine_says() {
    let runtime = Runtime::new().unwrap();
    let ledger = runtime.block_on(Ledger::open());
    let transaction = runtime.block_on(a_transaction(&ledger));
    let config =
        ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(walk in walk())| {
        runtime.block_on(async {
            let mut payment = ledger.payment().await;
            for (at, (kind, code)) in (1..).zip(&walk) {
                payment = step(&ledger, payment, event(*kind, *code, transaction), at).await?;
            }
            Ok::<_, TestCaseError>(())
        })?;
    });
    runtime.block_on(ledger.assert_journal_is_whole());
}

/// Takes one step, and compares what became of it with what the state machine says.
async fn step(
    ledger: &Ledger,
    payment: Payment,
    event: Event,
    at: u64,
) -> Result<Payment, TestCaseError> {
    let advance = ledger.store().advance(vec![change(&payment, event)], later(at)).await;
    let outcome = advance.unwrap().outcomes.remove(0);
    let expected = match (transition(payment.state, event), outcome) {
        (Ok(state), Advanced::Moved(moved)) => {
            let version = payment.version + 1;
            let expected = Payment { state, version, updated_at: later(at), ..payment };
            prop_assert_eq!(&*moved, &expected);
            expected
        }
        (Err(refused), Advanced::Refused(stored)) => {
            prop_assert_eq!(refused, stored);
            payment
        }
        (said, done) => return Err(TestCaseError::fail(format!("{said:?}, but {done:?}"))),
    };
    prop_assert_eq!(&ledger.reload(expected.id).await, &expected);
    prop_assert_eq!(has_due_time(ledger, &expected).await, !expected.state.is_terminal());
    Ok(expected)
}

async fn has_due_time(ledger: &Ledger, payment: &Payment) -> bool {
    let id = payment.id.uuid();
    let query = format!("select due_at is not null from payments where id = '{id}'");
    ledger.rows(&query).await[0].get(0)
}

async fn a_transaction(ledger: &Ledger) -> TransactionId {
    let lane = ledger.lane().await;
    let filler = store::Round { attempt: attempt(AttemptKind::Filler), ..round(0, &[]) };
    let transaction = filler.transaction;
    assert!(ledger.store().store_filler(&lane, filler, later(0)).await.unwrap());
    transaction
}

#[tokio::test]
async fn a_state_that_another_version_of_the_code_wrote_is_not_taken_for_another() {
    let ledger = Ledger::open().await;
    let payment = ledger.payment().await;
    ledger
        .sql(
            "alter table payments drop constraint payments_state;
             update payments set state = 'dreaming'",
        )
        .await
        .unwrap();
    let read = ledger.store().load(&[payment.id]).await;
    assert!(matches!(read, Err(store::StoreError::Unreadable(_))), "{read:?}");
    assert_eq!(payment.state, PaymentState::Accepted);
}
