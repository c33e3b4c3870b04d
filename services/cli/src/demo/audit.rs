//! Whether the ledger and the chain say the same, from the token's own balances and events.

use std::collections::{BTreeMap, HashMap, HashSet};

use alloy_sol_types::SolEvent;
use domain::{Address, Amount, B256, StateName, U256};

use super::board::Track;
use super::chain_view::{AuthorizationUsed, ChainView, Receipt, TokenLog, Transfer};

/// Those whose money is looked at.
#[derive(Clone, Debug)]
pub(crate) struct Parties {
    pub(crate) seller: Address,
    /// Everybody who may pay, and what each had of the token before.
    pub(crate) buyers: Vec<(Address, Amount)>,
    /// The block before the first payment.
    pub(crate) since: u64,
}

/// What the chain says.
#[derive(Debug)]
pub(crate) struct Books {
    uses: Vec<Use>,
    balances: HashMap<Address, Amount>,
    /// The receipts of the transactions that paid, by hash.
    pub(crate) receipts: BTreeMap<B256, Receipt>,
}

/// One authorization that the token took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Use {
    payer: Address,
    nonce: B256,
    transaction: B256,
    /// The transfer that the token wrote behind it.
    transfer: Option<Paid>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Paid {
    from: Address,
    to: Address,
    amount: Amount,
    log_index: u64,
}

impl Books {
    /// Reads them, as often as it takes.
    pub(crate) async fn read(chain: &ChainView, parties: &Parties) -> Self {
        let mut uses = read_uses(&chain.token_logs(parties.since).await);
        uses.retain(|used| parties.buyers.iter().any(|(buyer, _)| *buyer == used.payer));
        let mut balances = HashMap::new();
        let buyers = parties.buyers.iter().map(|(buyer, _)| *buyer);
        for account in buyers.chain([parties.seller]) {
            balances.insert(account, chain.balance_of(account).await);
        }
        let mut receipts = BTreeMap::new();
        for used in &uses {
            if receipts.contains_key(&used.transaction) {
                continue;
            }
            if let Some(receipt) = chain.receipt(used.transaction).await {
                receipts.insert(used.transaction, receipt);
            }
        }
        Self { uses, balances, receipts }
    }

    /// Everything in which the ledger says otherwise; nothing, when the two are equal.
    pub(crate) fn compare(&self, tracks: &[Track], parties: &Parties) -> Vec<String> {
        let settled: Vec<&Track> =
            tracks.iter().filter(|track| track.status() == Some(StateName::Settled)).collect();
        let mut differences: Vec<String> =
            settled.iter().filter_map(|track| self.differs(track)).collect();
        differences.extend(self.unknown_uses(&settled));
        differences.extend(self.balances_differ(&settled, parties));
        differences
    }

    /// What is wrong on chain with a payment that the ledger calls settled.
    fn differs(&self, track: &Track) -> Option<String> {
        let reference = &track.planned.order.reference;
        let wanted = &track.planned.order.authorization;
        let uses: Vec<&Use> = self
            .uses
            .iter()
            .filter(|used| (used.payer, used.nonce) == (wanted.payer, wanted.nonce))
            .collect();
        let [used] = uses[..] else {
            return Some(format!("{reference} is settled, and used {} times", uses.len()));
        };
        let Some(paid) = used.transfer else {
            return Some(format!("{reference} is settled, and moved no money"));
        };
        if (paid.from, paid.to, paid.amount) != (wanted.payer, wanted.pay_to, wanted.amount) {
            return Some(format!(
                "{reference} moved {} from {} to {}",
                paid.amount, paid.from, paid.to
            ));
        }
        let recorded = track.payment.as_ref().and_then(|payment| payment.transaction);
        let recorded = recorded.map(|transaction| (transaction.hash, transaction.log_index));
        if recorded != Some((used.transaction, Some(paid.log_index))) {
            return Some(format!(
                "{reference} was paid in {} at log {}, which the ledger does not say",
                used.transaction, paid.log_index,
            ));
        }
        None
    }

    /// Authorizations that were used without a settled payment.
    fn unknown_uses(&self, settled: &[&Track]) -> Vec<String> {
        let known: HashSet<(Address, B256)> = settled
            .iter()
            .map(|track| &track.planned.order.authorization)
            .map(|authorization| (authorization.payer, authorization.nonce))
            .collect();
        let unknown = self.uses.iter().filter(|used| !known.contains(&(used.payer, used.nonce)));
        unknown
            .map(|used| format!("{} used nonce {} for no settled payment", used.payer, used.nonce))
            .collect()
    }

    /// Balances that are not what the settled payments make them.
    fn balances_differ(&self, settled: &[&Track], parties: &Parties) -> Vec<String> {
        let moved = |of: &dyn Fn(&Track) -> bool| {
            let amounts = settled.iter().filter(|track| of(track));
            amounts.fold(U256::ZERO, |sum, track| {
                sum.saturating_add(track.planned.order.authorization.amount.units())
            })
        };
        let mut expected = vec![(parties.seller, moved(&|_| true))];
        for (buyer, before) in &parties.buyers {
            let spent = moved(&|track| track.planned.order.authorization.payer == *buyer);
            expected.push((*buyer, before.units().saturating_sub(spent)));
        }
        let has = |account| self.balances.get(account).map(|amount| amount.units());
        expected
            .iter()
            .filter(|(account, units)| has(account) != Some(*units))
            .map(|(account, units)| {
                let found = has(account).unwrap_or_default();
                format!("{account} has {found} on chain, and {units} by the ledger")
            })
            .collect()
    }
}

/// Each use of an authorization, with the transfer that comes next in the same transaction.
fn read_uses(logs: &[TokenLog]) -> Vec<Use> {
    let mut uses = Vec::new();
    for (place, log) in logs.iter().enumerate() {
        let Ok(used) = AuthorizationUsed::decode_raw_log(&log.topics, &log.data) else { continue };
        let next = logs.iter().skip(place + 1).find_map(|log| {
            let transfer = Transfer::decode_raw_log(&log.topics, &log.data).ok()?;
            Some((log, transfer))
        });
        let transfer = next.filter(|(next, _)| next.transaction_hash == log.transaction_hash);
        uses.push(Use {
            payer: used.authorizer,
            nonce: used.nonce,
            transaction: log.transaction_hash,
            transfer: transfer.map(|(log, transfer)| Paid {
                from: transfer.from,
                to: transfer.to,
                amount: Amount::new(transfer.value),
                log_index: log.log_index.to(),
            }),
        });
    }
    uses
}
