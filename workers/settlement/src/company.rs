//! Which payments may share a transaction.
//!
//! In a batch every call runs on the gas of all. A contract wallet's code is asked while its
//! payment is made (EIP-1271; EIP-7702 gives code to any account), and could spend what the calls
//! after it need. So payments of such accounts travel alone, on gas of their own. So do payments by
//! Permit2 that a transaction's logs would not tell apart, those that only their signer's own call can
//! make, which no other contract can pass on, and those that come with a permit of their token
//! (EIP-2612): the token takes its payer's permits one after the other, and the gas for one is more than
//! an item's share.

use std::collections::HashSet;

use domain::{Address, Amount, Authorization, Event, FailureCode, TransferMethod};
use store::SignedPayment;

use crate::error::SettleError;
use crate::network::Network;
use crate::policy::Policy;

/// Bytes of a signature that an account without code can have made.
const ECDSA_BYTES: usize = 65;

/// The first version that a payment which came back from a transaction can have: accepted,
/// approved, submitted, returned.
const RETURNED_VERSION: u32 = 4;

/// What a token logs of a transfer: itself, who paid, who was paid, and how much.
type Transfer = (Address, Address, Address, Amount);

/// Payments, by the company that they travel in.
#[derive(Debug, Default)]
pub(crate) struct Company {
    /// These can share a transaction.
    pub(crate) together: Vec<SignedPayment>,
    /// Each of these has one of its own.
    pub(crate) alone: Vec<SignedPayment>,
}

impl Company {
    /// Sorts payments that are ready. Those that were mined and not paid too often are refused.
    ///
    /// # Errors
    /// [`SettleError`] when the node or the ledger did not say: nothing is known to be safe.
    pub(crate) async fn of(
        network: &Network,
        ready: Vec<SignedPayment>,
    ) -> Result<Self, SettleError> {
        let (ready, came_back) = without_hopeless(network, ready).await?;
        if ready.len() < 2 {
            return Ok(Self { together: ready, alone: Vec::new() });
        }
        let payers: Vec<Address> = ready.iter().map(payer).collect();
        let with_code = network.node.with_code(&payers).await?;
        let mut transfers = HashSet::new();
        let (alone, together) = ready.into_iter().partition(|payment| {
            payment.signature.reveal().len() != ECDSA_BYTES
                || payment.permit.is_some()
                || with_code.contains(&payer(payment))
                || came_back.contains(&payment.payment.id)
                || payment.payment.authorization.method.sender().is_some()
                || is_mistakable(&payment.payment.authorization, &mut transfers)
        });
        Ok(Self { together, alone })
    }
}

/// Whether the payment is made by Permit2, and one that is alike has been seen among `transfers`: of
/// the two, a transaction that carries both does not say which it paid.
fn is_mistakable(authorization: &Authorization, transfers: &mut HashSet<Transfer>) -> bool {
    let Authorization { asset, payer, pay_to, amount, .. } = *authorization;
    match authorization.method {
        TransferMethod::Eip3009 => false,
        TransferMethod::Permit2 { .. } | TransferMethod::Upto { .. } => {
            !transfers.insert((asset, payer, pay_to, amount))
        }
    }
}

fn payer(payment: &SignedPayment) -> Address {
    payment.payment.authorization.payer
}

/// Refuses payments that blocks held too often without paying them, and says which others were in
/// a block already: whatever was wrong, it shall not happen to their company again.
async fn without_hopeless(
    network: &Network,
    ready: Vec<SignedPayment>,
) -> Result<(Vec<SignedPayment>, HashSet<domain::PaymentId>), SettleError> {
    let experienced: Vec<_> = ready
        .iter()
        .filter(|payment| payment.payment.version >= RETURNED_VERSION)
        .map(|payment| payment.payment.id)
        .collect();
    if experienced.is_empty() {
        return Ok((ready, HashSet::new()));
    }
    let unpaid = network.store.times_unpaid(&experienced).await?;
    let (hopeless, ready): (Vec<_>, Vec<_>) = ready.into_iter().partition(|payment| {
        unpaid.get(&payment.payment.id).is_some_and(|times| *times >= Policy::MOST_UNPAID)
    });
    for payment in &hopeless {
        tracing::warn!(payment = %payment.payment.id, "blocks hold a payment and do not pay it");
    }
    network.apply(hopeless, Event::Rejected(FailureCode::TransferRefused)).await?;
    Ok((ready, unpaid.into_keys().collect()))
}
