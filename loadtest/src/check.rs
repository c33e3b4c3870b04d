//! What must be true when a run is over: nothing was lost, nothing was paid twice.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use domain::{B256, Payment, PaymentId, StateName};

use crate::ledger::until;
use crate::world::World;

/// How long the last webhooks may take.
const TOLD: Duration = Duration::from_secs(60);

/// Every promise that was broken, in words. `accepted` are all payments that were ever taken.
pub(crate) async fn violations(world: &World, accepted: &HashSet<PaymentId>) -> Vec<String> {
    let mut broken = Vec::new();
    let ids: Vec<PaymentId> = accepted.iter().copied().collect();
    let payments = world.load(&ids).await;
    let stored = world.stored().await;
    if stored != accepted.len() as u64 || payments.len() != accepted.len() {
        broken.push(format!("{stored} payments are stored, {} were accepted", accepted.len()));
    }
    let open = payments.iter().filter(|payment| !payment.state.is_terminal()).count();
    if open > 0 {
        broken.push(format!("{open} payments are not over"));
    }
    broken.extend(money(world, &payments).await);
    broken.extend(webhooks(world, &payments).await);
    broken
}

/// Settled payments and transfers are one to one.
async fn money(world: &World, payments: &[Payment]) -> Vec<String> {
    let mut moved: HashMap<(B256, u64), domain::Amount> = HashMap::new();
    for seller in &world.market.pay_to {
        let transfers = world.anvil.transfers_to(*seller).await;
        moved.extend(transfers.into_iter().map(|it| ((it.tx_hash, it.log_index), it.amount)));
    }
    let mut broken = Vec::new();
    let settled = payments.iter().filter(|payment| payment.state.name() == StateName::Settled);
    for payment in settled {
        let place = payment.state.inclusion().map(|it| (it.tx_hash, it.log_index));
        // Taken out, so that no transfer pays for two.
        let amount = place.and_then(|place| moved.remove(&place));
        if amount != Some(payment.authorization.amount) {
            broken.push(format!("{} is settled, and the chain has no transfer of it", payment.id));
        }
    }
    if !moved.is_empty() {
        broken.push(format!("{} transfers belong to no settled payment", moved.len()));
    }
    broken
}

/// Every end was told, as it is.
pub(crate) async fn webhooks(world: &World, payments: &[Payment]) -> Vec<String> {
    let over = || payments.iter().filter(|payment| payment.state.is_terminal());
    let untold = || {
        let is_told = |payment: &&Payment| {
            world.receiver.end_of(payment.id).as_deref() == Some(payment.state.name().as_str())
        };
        over().filter(|payment| !is_told(payment)).count()
    };
    until(TOLD, async || untold() == 0).await;
    let mut broken = Vec::new();
    if untold() > 0 {
        broken.push(format!("{} ends were not told", untold()));
    }
    if world.receiver.counts().forged > 0 {
        broken.push(format!("{} webhooks are not signed as ours", world.receiver.counts().forged));
    }
    broken
}
