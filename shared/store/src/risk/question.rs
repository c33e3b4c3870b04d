//! Who asks an engine about a payment, and when.

use domain::{Decision, Payment, Progress, Timestamp, WaitingFor, patience};
use sqlx::PgTransaction;
use uuid::Uuid;

use super::{Decided, EngineTerms, consultation};
use crate::StoreError;

/// A payment about which the engine is to be asked.
#[derive(Clone, Debug)]
pub struct ToAsk {
    /// The payment.
    pub payment: Payment,
    /// So many tries have come to nothing.
    pub tries: u32,
    /// Until when an engine that does not decide is waited for.
    pub patience: Timestamp,
    /// The version of x402 that it was submitted in.
    pub x402_version: Option<u32>,
    /// The host of what is paid for, where the payment names it.
    pub host: Option<String>,
}

/// Tells the caller alone to ask about what is to be asked about, and has everything looked at when it
/// is its turn, the lease of a caller that was killed is over, or no engine is waited for any more.
pub(super) async fn ask(
    tx: &mut PgTransaction<'_>,
    all: &[Decided<'_>],
    engine: EngineTerms,
    now: Timestamp,
) -> Result<Vec<ToAsk>, StoreError> {
    let lease_end = now.plus(engine.lease);
    let next_look = |decided: &Decided<'_>| {
        let at = match (&decided.decision, decided.progress()?) {
            (Decision::Ask, _) => lease_end,
            (Decision::Wait(WaitingFor::Engine), Progress::Open { ask_at, .. }) => *ask_at,
            _ => return None,
        };
        Some((decided.candidate.payment.id.uuid(), at.min(patience_of(decided))))
    };
    let looks: Vec<(Uuid, Timestamp)> = all.iter().filter_map(next_look).collect();
    consultation::put_off(tx, &looks).await?;
    let to_ask: Vec<ToAsk> = all
        .iter()
        .filter(|decided| decided.decision == Decision::Ask)
        .map(|decided| ToAsk {
            payment: decided.candidate.payment.clone(),
            tries: match decided.progress() {
                Some(Progress::Open { tries, .. }) => *tries,
                Some(Progress::Unasked | Progress::Answered(_) | Progress::Undecided) | None => 0,
            },
            patience: patience_of(decided),
            x402_version: decided.consultation.and_then(|it| it.x402_version),
            host: None,
        })
        .collect();
    let ids: Vec<Uuid> = to_ask.iter().map(|asked| asked.payment.id.uuid()).collect();
    consultation::claim(tx, &ids, engine.consulting.engine, lease_end).await?;
    Ok(to_ask)
}

fn patience_of(decided: &Decided<'_>) -> Timestamp {
    patience(decided.candidate.payment.created_at, decided.candidate.decide_by)
}
