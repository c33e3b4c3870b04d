//! Whether every payment ended, once and as the ledger says.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use domain::{Amount, B256, FailureCode, Payment, PaymentId, PaymentState, StateName, U256};
use serde_json::json;
use sqlx::{AssertSqlSafe, Row};
use store::StoreError;
use testkit::eventually;

use crate::load::{Accepted, Hope, Load};
use crate::world::World;

/// How long everything may take to end once nothing is wrong any more.
const RECOVERY: Duration = Duration::from_secs(150);

/// What was found wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    /// Accepted or paid, and not to be found where it should be.
    pub(crate) lost: u64,
    /// Paid although the ledger does not say so, or paid twice.
    pub(crate) doubled: u64,
    /// Not over, or keeping others from going on: payments, transactions, nonces, webhooks.
    pub(crate) stuck: u64,
    /// Each of them in words.
    pub(crate) notes: Vec<String>,
    /// What was over last.
    pub(crate) last: Vec<String>,
}

impl Findings {
    pub(crate) const fn is_clean(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.stuck == 0
    }

    fn lose(&mut self, note: &str) {
        self.lost += 1;
        self.notes.push(format!("lost: {note}"));
    }

    pub(crate) fn double(&mut self, note: &str) {
        self.doubled += 1;
        self.notes.push(format!("doubled: {note}"));
    }

    pub(crate) fn stick(&mut self, note: &str) {
        self.stuck += 1;
        self.notes.push(format!("stuck: {note}"));
    }
}

/// Waits until everything has ended, and compares what the ledger, the chain and the seller know.
/// Says what is wrong, and when everything had ended.
pub(crate) async fn audit(
    world: &World,
    load: &Load,
    accepted: &[Accepted],
) -> (Findings, Instant) {
    let mut findings = Findings::default();
    let last = Mutex::new(Vec::new());
    let over = eventually(Duration::MAX, || async {
        let open = unfinished(world, load).await.ok()?;
        let is_over = open.is_empty();
        if !is_over {
            *last.lock().unwrap() = open;
        }
        is_over.then_some(())
    });
    if tokio::time::timeout(RECOVERY, over).await.is_err() {
        match unfinished(world, load).await {
            Ok(open) => open.into_iter().for_each(|note| findings.stick(&note)),
            Err(error) => findings.stick(&error.to_string()),
        }
    }
    let over = Instant::now();
    findings.last = last.into_inner().unwrap();
    let payments = ledger(world, load).await.unwrap();
    compare_with_posts(&mut findings, load, accepted, &payments);
    compare_with_chain(&mut findings, world, load, &payments).await;
    (findings, over)
}

/// Every payment of the load that is in the ledger.
pub(crate) async fn ledger(world: &World, load: &Load) -> Result<Vec<Payment>, StoreError> {
    let wanted = format!(
        "select id from payments where pay_to = decode('{}', 'hex')",
        hex::encode(load.pay_to)
    );
    let store = &world.database.store;
    let rows = sqlx::raw_sql(AssertSqlSafe(wanted)).fetch_all(store.pool()).await?;
    let ids: Vec<_> = rows.iter().map(|row| PaymentId::new(row.get(0))).collect();
    store.load(&ids).await
}

/// What has not ended, each in words.
pub(crate) async fn unfinished(world: &World, load: &Load) -> Result<Vec<String>, StoreError> {
    let store = &world.database.store;
    let mut open = Vec::new();
    let payments = ledger(world, load).await?;
    for payment in &payments {
        if !payment.state.is_terminal() {
            open.push(format!("{} is {:?}", payment.id, payment.state));
        }
    }
    let due = "select count(*) from payments where due_at is not null";
    let due: i64 = sqlx::raw_sql(due).fetch_one(store.pool()).await?.get(0);
    if due > 0 {
        // The rest costs more to ask, and cannot be over before.
        open.push(format!("{due} payments of the ledger are due"));
        return Ok(open);
    }
    for signer in store.list_signers().await? {
        for transaction in store.open_transactions(signer.id).await? {
            open.push(format!("nonce {} is {:?}", transaction.nonce, transaction.state));
        }
        let latest = world.anvil.nonce_of(signer.address).await;
        let pending = json!([signer.address, "pending"]);
        let pending = world.anvil.rpc("eth_getTransactionCount", pending).await;
        if latest != signer.next_nonce || pending != format!("{latest:#x}") {
            let (next, signer) = (signer.next_nonce, signer.address);
            open.push(format!(
                "{signer}: nonce {next} in the ledger, {latest} and {pending} mined"
            ));
        }
    }
    let told: HashSet<(String, String)> = world
        .receiver
        .requests()
        .iter()
        .map(|told| told.json())
        .map(|told| (text(&told["type"]), text(&told["data"]["id"])))
        .collect();
    for payment in payments.iter().filter(|payment| payment.state.is_terminal()) {
        let event = format!("payment.{}", payment.state.name());
        if !told.contains(&(event.clone(), payment.id.to_string())) {
            open.push(format!("nobody was told {event} of {}", payment.id));
        }
    }
    Ok(open)
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What was promised with a 202 is there, and has become what it should.
fn compare_with_posts(
    findings: &mut Findings,
    load: &Load,
    accepted: &[Accepted],
    payments: &[Payment],
) {
    let by_id: HashMap<PaymentId, &Payment> =
        payments.iter().map(|payment| (payment.id, payment)).collect();
    for Accepted { id, planned } in accepted {
        let Some(payment) = by_id.get(id) else {
            findings.lose(&format!("{id} was answered with a 202 and is not in the ledger"));
            continue;
        };
        if payment.authorization != planned.signed.authorization {
            findings.lose(&format!("{id} is another payment than the one that was posted"));
        }
        if !is_as_hoped(planned.hope, &payment.state) && payment.state.is_terminal() {
            findings.lose(&format!("{id} was to be {:?} and is {:?}", planned.hope, payment.state));
        }
    }
    let rivals: Vec<StateName> = accepted
        .iter()
        .filter(|accepted| accepted.planned.hope == Hope::Rival)
        .filter_map(|accepted| Some(by_id.get(&accepted.id)?.state.name()))
        .collect();
    let settled = rivals.iter().filter(|state| **state == StateName::Settled).count();
    if rivals.iter().all(|state| state.is_terminal()) && settled != 1 {
        findings.lose("of two payments that share their money, one was to be settled");
    }
    let authorizations: HashSet<_> = payments
        .iter()
        .map(|payment| (payment.authorization.payer, payment.authorization.nonce))
        .collect();
    if authorizations.len() != payments.len() || payments.len() > load.planned.len() {
        findings.double("an authorization is two payments");
    }
}

fn is_as_hoped(hope: Hope, state: &PaymentState) -> bool {
    let poor = matches!(state, PaymentState::Rejected(FailureCode::InsufficientFunds));
    let settled = state.name() == StateName::Settled;
    match hope {
        Hope::Settled => settled,
        Hope::Rejected => poor,
        Hope::Rival | Hope::Emptied => settled || poor,
        Hope::Canceled => settled || state.name() == StateName::Canceled,
        Hope::Short => settled || state.name() == StateName::Expired,
    }
}

/// Every settled payment moved its money once, where the ledger says, and no other did.
async fn compare_with_chain(
    findings: &mut Findings,
    world: &World,
    load: &Load,
    payments: &[Payment],
) {
    let moved = world.anvil.transfers_to(load.pay_to).await;
    let mut unclaimed: HashMap<(B256, u64), _> = moved
        .into_iter()
        .map(|moved| ((moved.tx_hash, moved.log_index), (moved.from, moved.amount)))
        .collect();
    let mut total = U256::ZERO;
    for payment in payments {
        let authorization = &payment.authorization;
        let (payer, amount) = (authorization.payer, authorization.amount);
        let used = world.anvil.authorization_used(payer, authorization.nonce).await;
        let PaymentState::Settled { inclusion } = payment.state else {
            if used {
                findings.double(&format!("{} is {:?} and was paid", payment.id, payment.state));
            }
            continue;
        };
        total += amount.units();
        let place = (inclusion.tx_hash, inclusion.log_index);
        if unclaimed.remove(&place) != Some((payer, amount)) || !used {
            findings.lose(&format!("{} is settled and no money moved at {place:?}", payment.id));
        }
    }
    for place in unclaimed.keys() {
        findings.double(&format!("money moved at {place:?} that no payment tells of"));
    }
    if world.anvil.balance_of(load.pay_to).await != Amount::new(total) {
        findings.double("the seller's balance is not the sum of what is settled");
    }
}
