//! Deciding about payments that cannot be settled now: for good, or for the time being.

use chain::{AuthorizationUse, AuthorizationView};
use domain::{ChainView, Event, FailureCode, Verdict, judge};
use store::{Change, SignedPayment};

use crate::decide::readiness::is_news;
use crate::error::SettleError;
use crate::finality::Canon;
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
    let final_block_time = network.final_block_time().await?;
    let asked: Vec<_> = payments
        .iter()
        .map(|signed| (&signed.payment.authorization, signed.permit.as_ref()))
        .collect();
    let views = network.node.views_with_permits(&asked).await?;
    let mut changes = Vec::new();
    for (signed, view) in payments.into_iter().zip(views) {
        let decided = verdict(network, &signed, view, final_block_time).await;
        let payment = signed.payment;
        match decided {
            Ok(Some(event)) => changes.push(Change { payment, event, carrier: None }),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, payment = %payment.id, "nothing is decided about a payment");
            }
        }
    }
    network.commit(changes).await
}

async fn verdict(
    network: &Network,
    SignedPayment { payment, permit, .. }: &SignedPayment,
    view: AuthorizationView,
    final_block_time: i64,
) -> Result<Option<Event>, SettleError> {
    let (now, needed) = (network.now(), network.policy.min_remaining_secs);
    let by = now.unix_secs().saturating_add(needed);
    let allowance = view.allowance_with(payment.authorization.amount, permit.as_ref(), by);
    let AuthorizationView { used, balance, as_of, .. } = view;
    let view = ChainView { authorization_used: used, balance, allowance, final_block_time };
    Ok(match judge(&payment.authorization, &view, now, needed) {
        // The token refuses for a reason of its own, which may pass: a pause, for example.
        Verdict::Approve | Verdict::AwaitExpiry => None,
        Verdict::Reject(code) => is_news(as_of, payment).then_some(Event::Rejected(code)),
        Verdict::Cancel => Some(Event::Canceled),
        Verdict::Expire => Some(Event::Expired),
        Verdict::FindUse => match network.node.find_use(&payment.authorization).await? {
            AuthorizationUse::Paid(inclusion) => Some(Event::Included(inclusion)),
            AuthorizationUse::Spent { block_number } => Canon::now(network)
                .await?
                .is_deep(block_number)
                .then_some(Event::Rejected(FailureCode::AuthorizationUsed)),
            // It was unused when risk approved it, so its log is there: the node will find it.
            AuthorizationUse::NotFound => None,
        },
    })
}
