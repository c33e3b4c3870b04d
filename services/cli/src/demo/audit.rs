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

#[cfg(test)]
mod tests {
    use alloy_primitives::U64;
    use domain::ChainId;
    use x402::{Asset, Methods};

    use super::super::buyer::Buyer;
    use super::super::payment::{Payment, Transaction};
    use super::super::plan::{Cast, Kind, Posting};
    use super::*;

    const PRICE: u64 = 10_000;
    const FUNDS: u64 = 50_000;
    const HASH: B256 = B256::repeat_byte(7);

    /// A settled payment, the books that agree with it, and whose money it is about.
    fn settled() -> (Track, Books, Parties) {
        let chain = ChainId::new(84_532).unwrap();
        let (name, version) = ("USDC".to_owned(), "2".to_owned());
        let (address, methods) = (Address::repeat_byte(1), Methods::EIP3009);
        let token = Asset { chain, address, name, version, methods };
        let (buyers, pauper, pay_to) = ([Buyer::new()], Buyer::new(), Address::repeat_byte(2));
        let cast = Cast { token: &token, pay_to, buyers: &buyers, pauper: &pauper, now: 0 };
        let planned = cast.payment(0, Kind::Good(Posting::Once)).unwrap();
        let authorization = &planned.order.authorization;
        let transfer =
            Transfer { from: authorization.payer, to: pay_to, value: authorization.amount.units() };
        let used =
            AuthorizationUsed { authorizer: authorization.payer, nonce: authorization.nonce };
        let logs = [log(&used, 3), log(&transfer, 4)];
        let payer = authorization.payer;
        let balances =
            HashMap::from([(payer, (FUNDS - PRICE).into()), (pay_to, Amount::from(PRICE))]);
        let books = Books { uses: read_uses(&logs), balances, receipts: BTreeMap::new() };
        let transaction = Some(Transaction { hash: HASH, log_index: Some(4) });
        let status = StateName::Settled;
        let payment = Payment {
            status,
            terminal: true,
            version: 5,
            transaction,
            failure: None,
            timeline: vec![],
        };
        let track = Track { planned, answers: Vec::new(), payment: Some(payment) };
        let parties = Parties { seller: pay_to, buyers: vec![(payer, FUNDS.into())], since: 0 };
        (track, books, parties)
    }

    fn log(event: &impl SolEvent, index: u64) -> TokenLog {
        let data = event.encode_log_data();
        TokenLog {
            topics: data.topics().to_vec(),
            data: data.data,
            transaction_hash: HASH,
            log_index: U64::from(index),
        }
    }

    #[test]
    fn a_settled_payment_that_the_token_made_is_no_difference() {
        let (track, books, parties) = settled();
        assert_eq!(books.compare(&[track], &parties), Vec::<String>::new());
    }

    #[test]
    fn money_that_moved_without_a_settled_payment_is_found() {
        let (track, books, parties) = settled();
        let found = books.compare(&[], &parties);
        // The use of the authorization, and both balances.
        assert_eq!(found.len(), 3, "{found:?} about {:?}", track.planned.order.reference);
    }

    #[test]
    fn a_payment_called_settled_that_moved_nothing_is_found() {
        let (track, mut books, parties) = settled();
        books.uses.clear();
        assert_eq!(books.compare(&[track], &parties), ["demo-000 is settled, and used 0 times"]);
    }

    #[test]
    fn another_place_than_the_recorded_one_is_found() {
        let (mut track, books, parties) = settled();
        track.payment.as_mut().unwrap().transaction =
            Some(Transaction { hash: HASH, log_index: Some(3) });
        assert_eq!(books.compare(&[track], &parties).len(), 1);
    }

    #[test]
    fn a_missing_cent_is_found() {
        let (track, mut books, parties) = settled();
        books.balances.insert(parties.seller, (PRICE - 1).into());
        assert_eq!(books.compare(&[track], &parties).len(), 1);
    }
}
