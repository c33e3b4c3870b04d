//! Payments' rows, moved to their next state.

use std::collections::HashSet;

use domain::{Inclusion, Payment, PaymentState, Timestamp, TransactionId, schedule};
use sqlx::PgTransaction;
use uuid::Uuid;

use super::Step;
use crate::StoreError;
use crate::row::signed;

/// The columns that hold what is known in a state.
#[derive(Default)]
struct StateColumns {
    held_until: Option<Timestamp>,
    approved_until: Option<Timestamp>,
    transaction: Option<Uuid>,
    inclusion: Option<Inclusion>,
    failure: Option<&'static str>,
}

impl StateColumns {
    fn of(state: &PaymentState) -> Self {
        let none = Self::default();
        match *state {
            PaymentState::Held { until } => Self { held_until: Some(until), ..none },
            PaymentState::Approved { until } => Self { approved_until: Some(until), ..none },
            PaymentState::Submitted(submission) => Self {
                approved_until: Some(submission.approved_until),
                transaction: Some(submission.transaction.uuid()),
                ..none
            },
            PaymentState::Confirmed { inclusion, submission } => Self {
                inclusion: Some(inclusion),
                approved_until: submission.map(|submission| submission.approved_until),
                transaction: submission.map(|submission| submission.transaction.uuid()),
                ..none
            },
            PaymentState::Settled { inclusion } => Self { inclusion: Some(inclusion), ..none },
            PaymentState::Rejected(code) | PaymentState::Failed(code) => {
                Self { failure: Some(code.as_str()), ..none }
            }
            PaymentState::Accepted | PaymentState::Canceled | PaymentState::Expired => none,
        }
    }
}

/// The transaction of ours that carries a payment in this state, if one does.
pub(super) fn rests_on(state: &PaymentState) -> Option<TransactionId> {
    StateColumns::of(state).transaction.map(TransactionId::new)
}

/// Writes the new states where the version is still the one that was loaded, and says which moved.
///
/// Rows are locked in the order of their ids, so that batches at the same instant never wait for
/// each other in a circle.
pub(super) async fn move_payments(
    tx: &mut PgTransaction<'_>,
    steps: &[&Step],
) -> Result<HashSet<Uuid>, StoreError> {
    if steps.is_empty() {
        return Ok(HashSet::new());
    }
    fn column<T>(steps: &[&Step], value: impl Fn(&Payment, StateColumns) -> T) -> Vec<T> {
        let row = |step: &&Step| value(&step.next, StateColumns::of(&step.next.state));
        steps.iter().map(row).collect()
    }
    let due = |payment: &Payment| {
        schedule::due_at(&payment.state, 0, payment.updated_at).map(Timestamp::to_datetime)
    };
    let version = |version: u32| i32::try_from(version).unwrap_or(i32::MAX);
    let loaded: Vec<i32> = steps.iter().map(|step| version(step.loaded)).collect();
    let moved = sqlx::query_scalar!(
        // One step leads to the next by the key of one row: two lists joined by their ids would be
        // compared each with each, because the planner takes both to be short.
        r#"with change as (
             select c.* from unnest(
               $1::uuid[], $2::integer[], $3::text[], $4::timestamptz[], $5::timestamptz[],
               $6::timestamptz[], $7::timestamptz[], $8::uuid[], $9::bytea[], $10::bigint[],
               $11::bigint[], $12::bytea[], $13::text[], $14::integer[]
             ) as c (
               id, version, state, updated_at, due_at, held_until, approved_until, transaction_id,
               tx_hash, log_index, block_number, block_hash, failure_code, loaded
             )
             join payments p on p.id = c.id and p.version = c.loaded
             order by p.id for update of p
           )
           update payments p
           set version = c.version, state = c.state, updated_at = c.updated_at, due_at = c.due_at,
               rings = 0, held_until = c.held_until, approved_until = c.approved_until,
               transaction_id = c.transaction_id, tx_hash = c.tx_hash, log_index = c.log_index,
               block_number = c.block_number, block_hash = c.block_hash,
               failure_code = c.failure_code
           from change c
           where p.id = c.id and p.version = c.loaded
           returning p.id"#,
        &column(steps, |p, _| p.id.uuid()),
        &column(steps, |p, _| version(p.version)),
        &column(steps, |p, _| p.state.name().as_str().to_owned()),
        &column(steps, |p, _| p.updated_at.to_datetime()),
        &column(steps, |p, _| due(p)) as _,
        &column(steps, |_, c| c.held_until.map(Timestamp::to_datetime)) as _,
        &column(steps, |_, c| c.approved_until.map(Timestamp::to_datetime)) as _,
        &column(steps, |_, c| c.transaction) as _,
        &column(steps, |_, c| c.inclusion.map(|i| i.tx_hash.to_vec())) as _,
        &column(steps, |_, c| c.inclusion.map(|i| signed(i.log_index))) as _,
        &column(steps, |_, c| c.inclusion.map(|i| signed(i.block_number))) as _,
        &column(steps, |_, c| c.inclusion.map(|i| i.block_hash.to_vec())) as _,
        &column(steps, |_, c| c.failure.map(str::to_owned)) as _,
        &loaded,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(moved.into_iter().collect())
}
