//! Payments that ring although they are sent already: found out where they stand.

use domain::{Event, Payment, PaymentState, Submission};
use store::{Change, TransactionState};

use crate::error::SettleError;
use crate::finality::Canon;
use crate::network::Network;

/// A payment inside a transaction. If that is not followed here, it may be followed nowhere.
pub(crate) async fn carried(
    network: &Network,
    payment: Payment,
    submission: Submission,
) -> Result<(), SettleError> {
    let Some(transaction) = network.store.find_transaction(submission.transaction).await? else {
        return Ok(());
    };
    if !network.tracker.has(transaction.id) {
        network.look(&transaction).await?;
    }
    if network.now().unix_secs() < payment.authorization.valid_before {
        return Ok(());
    }
    match network.store.find_transaction(transaction.id).await? {
        Some(transaction) => network.expire(&transaction).await,
        None => Ok(()),
    }
}

/// A payment inside a block. Where our own transaction put it there, that is followed; where
/// somebody else's did, only this looks.
pub(crate) async fn included(network: &Network, payment: Payment) -> Result<(), SettleError> {
    let PaymentState::Confirmed { inclusion, submission } = payment.state else { return Ok(()) };
    let transaction = match submission {
        Some(submission) => network.store.find_transaction(submission.transaction).await?,
        None => None,
    };
    if let Some(transaction) = &transaction {
        let ours = transaction.attempts.iter().any(|attempt| attempt.hash == inclusion.tx_hash);
        let is_over = match transaction.state {
            TransactionState::Open | TransactionState::Mined { .. } => false,
            TransactionState::Final { .. } | TransactionState::Dropped => true,
        };
        // Nobody follows a transaction that is over, whatever still rests on it.
        if ours && !is_over {
            return match network.tracker.has(transaction.id) {
                true => Ok(()),
                false => network.look(transaction).await,
            };
        }
    }
    let canon = Canon::now(network).await?;
    let event = match canon.holds(inclusion.block_number, inclusion.block_hash).await? {
        Some(false) => Event::Reorged,
        Some(true) if canon.is_final(inclusion.block_number, payment.finality).await => {
            Event::Finalized
        }
        Some(true) | None => return Ok(()),
    };
    let changes = vec![Change { payment, event, carrier: None }];
    match transaction {
        Some(transaction) => network.record(&transaction, transaction.state, changes).await,
        None => network.commit(changes).await,
    }
}
