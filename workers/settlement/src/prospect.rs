//! Deciding about payments that cannot be settled now: for good, or for the time being.

use chain::{AuthorizationUse, AuthorizationView};
use domain::{ChainView, Event, FailureCode, Payment, Verdict, judge};
use store::{Change, SignedPayment};

use crate::error::SettleError;
use crate::network::Network;

/// Looks at approved payments that would fail, or have too little time left, and ends those that
/// can never be settled. The others stay approved and are due again.
pub(crate) async fn decide(
    network: &Network,
    payments: Vec<SignedPayment>,
) -> Result<(), SettleError> {
    if payments.is_empty() {
        return Ok(());
    }
    let payments: Vec<Payment> = payments.into_iter().map(|signed| signed.payment).collect();
    let final_block_time = network.final_block_time().await?;
    let authorizations: Vec<_> = payments.iter().map(|payment| &payment.authorization).collect();
    let views = network.node.views(&authorizations).await?;
    let mut changes = Vec::new();
    for (payment, view) in payments.into_iter().zip(views) {
        if let Some(event) = verdict(network, &payment, view, final_block_time).await? {
            changes.push(Change { payment, event, carrier: None });
        }
    }
    network.commit(changes).await
}

async fn verdict(
    network: &Network,
    payment: &Payment,
    view: AuthorizationView,
    final_block_time: i64,
) -> Result<Option<Event>, SettleError> {
    let AuthorizationView { used, balance } = view;
    let view = ChainView { authorization_used: used, balance, final_block_time };
    let needed = network.policy.min_remaining_secs;
    Ok(match judge(&payment.authorization, &view, network.now(), needed) {
        // The token refuses for a reason of its own, which may pass: a pause, for example.
        Verdict::Approve | Verdict::AwaitExpiry => None,
        Verdict::Reject(code) => Some(Event::Rejected(code)),
        Verdict::Expire => Some(Event::Expired),
        Verdict::FindUse => match network.node.find_use(&payment.authorization).await? {
            AuthorizationUse::Paid(inclusion) => Some(Event::Included(inclusion)),
            // Used up before we sent anything: whatever it was spent on, it can pay nobody now.
            AuthorizationUse::Spent | AuthorizationUse::NotFound => {
                Some(Event::Rejected(FailureCode::AuthorizationUsed))
            }
        },
    })
}
