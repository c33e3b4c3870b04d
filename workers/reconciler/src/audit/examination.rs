//! Comparing ledger and chain over some blocks.

use std::collections::{HashMap, HashSet};

use chain::{ChainError, MinedBlock, UseLog};
use domain::{B256, Payment, TransferMethod};
use store::{AuthorizationKey, BlockRange, Recorded, RecordedFact, Store};

use super::compare::{UseVerdict, ended, mined, settled, used};
use super::patience::{Patience, Unfinished, ask};
use super::stride::Stride;
use super::{AuditNetwork, Difference};

/// How many rows of the ledger are read at once.
const PAGE: usize = 500;

/// How much was compared, and how often it differed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Blocks.
    pub blocks: u64,
    /// Settled payments.
    pub payments: u64,
    /// Mined transactions of ours.
    pub transactions: u64,
    /// Uses of authorizations by our transactions, or of authorizations that the ledger knows.
    pub uses: u64,
    /// Differences.
    pub differences: u64,
}

/// Compares ledger and chain over these blocks, which must be final, and tells of each difference
/// when it is found. The tally counts what was done, to the end or not.
///
/// Memory does not grow with the range: it rests on what happens in at most a thousand blocks.
///
/// # Errors
/// [`Unfinished`] when something could not be read, although it was asked for again: nothing is
/// known about the blocks that are not in the tally.
pub async fn examine(
    store: &Store,
    network: &AuditNetwork,
    range: BlockRange,
    tally: &mut Tally,
    tell: impl FnMut(&Difference) + Send,
) -> Result<(), Unfinished> {
    ask(|| network.node.is_on_its_network()).await?;
    let mut examination =
        Examination { store, network, stride: Stride::new(), by_hash: false, tally, tell };
    let mut from = range.from;
    while from <= range.to {
        let (to, uses) = examination.read_uses(from, range.to).await?;
        examination.stretch(BlockRange { from, to, ..range }, &uses).await?;
        from = to.saturating_add(1);
    }
    Ok(())
}

struct Examination<'a, T> {
    store: &'a Store,
    network: &'a AuditNetwork,
    stride: Stride,
    /// Whether the node gives receipts only one by one.
    by_hash: bool,
    tally: &'a mut Tally,
    tell: T,
}

impl<T: FnMut(&Difference) + Send> Examination<'_, T> {
    /// The uses in as many blocks from `from` on as the node tells of at once, and the last of them.
    async fn read_uses(&mut self, from: u64, last: u64) -> Result<(u64, Vec<UseLog>), Unfinished> {
        let AuditNetwork { node, assets, .. } = self.network;
        let mut patience = Patience::new();
        loop {
            let to = self.stride.end(from, last);
            match node.authorization_uses(assets, from, to).await {
                Ok(uses) => {
                    self.stride.answered(uses.len());
                    return Ok((to, uses));
                }
                Err(error @ ChainError::Behind) => patience.bear(error).await?,
                // Nodes say "too much" in many words, and some only hang up: less may be answered.
                Err(error) => {
                    let blocks = to.saturating_sub(from).saturating_add(1);
                    if !self.stride.halve(blocks) {
                        patience.bear(error).await?;
                    }
                }
            }
        }
    }

    async fn stretch(&mut self, range: BlockRange, uses: &[UseLog]) -> Result<(), Unfinished> {
        for some in uses.chunks(PAGE) {
            self.compare_uses(some).await?;
        }
        let keys: HashSet<AuthorizationKey> = uses.iter().map(key).collect();
        self.compare_recorded(range, &keys).await?;
        for shared in ask(|| self.store.shared_places(range)).await? {
            self.found(&Difference::Doubled(shared));
        }
        let blocks = range.to.saturating_sub(range.from).saturating_add(1);
        self.tally.blocks = self.tally.blocks.saturating_add(blocks);
        Ok(())
    }

    async fn compare_uses(&mut self, uses: &[UseLog]) -> Result<(), Unfinished> {
        let (store, chain) = (self.store, self.network.node.chain());
        let hashes: Vec<B256> = uses.iter().map(|used| used.tx_hash).collect();
        let ours = ask(|| store.signed_by_us(&hashes)).await?;
        let keys: Vec<AuthorizationKey> = uses.iter().map(key).collect();
        let payments: HashMap<AuthorizationKey, Payment> = ask(|| store.payments_of(chain, &keys))
            .await?
            .into_iter()
            .map(|payment| {
                let authorization = &payment.authorization;
                ((authorization.asset, authorization.payer, authorization.nonce), payment)
            })
            .collect();
        for log in uses {
            let (ours, payment) = (ours.contains(&log.tx_hash), payments.get(&key(log)));
            if !ours && payment.is_none() {
                continue;
            }
            self.tally.uses = self.tally.uses.saturating_add(1);
            let verdict = used(log, ours, payment);
            match (verdict, payment) {
                (UseVerdict::Differs(difference), _) => self.found(&difference),
                (UseVerdict::Ended, Some(payment)) => {
                    self.compare_ended(log, ours, payment).await?;
                }
                (UseVerdict::Agrees | UseVerdict::Ended, _) => {}
            }
        }
        Ok(())
    }

    async fn compare_ended(
        &mut self,
        log: &UseLog,
        ours: bool,
        payment: &Payment,
    ) -> Result<(), Unfinished> {
        let block = self.block(log.block_number, &[log.tx_hash]).await?;
        let receipt = block.receipts.get(&log.tx_hash);
        let receipt =
            receipt.ok_or(Unfinished::Contradiction { block_number: log.block_number })?;
        if let Some(difference) = ended(log, ours, payment, receipt) {
            self.found(&difference);
        }
        Ok(())
    }

    async fn compare_recorded(
        &mut self,
        range: BlockRange,
        uses: &HashSet<AuthorizationKey>,
    ) -> Result<(), Unfinished> {
        let (store, limit) = (self.store, i64::try_from(PAGE).unwrap_or(i64::MAX));
        let mut last: Option<Recorded> = None;
        loop {
            let after = last.as_ref();
            let mut page = ask(|| store.recorded_in(range, after, limit)).await?;
            for rows in page.chunk_by(|one, next| one.block_number == next.block_number) {
                self.compare_block(rows, uses).await?;
            }
            if page.len() < PAGE {
                return Ok(());
            }
            last = page.pop();
        }
    }

    /// What the ledger says of one block.
    async fn compare_block(
        &mut self,
        rows: &[Recorded],
        uses: &HashSet<AuthorizationKey>,
    ) -> Result<(), Unfinished> {
        let Some(number) = rows.first().map(|row| row.block_number) else { return Ok(()) };
        let wanted: Vec<B256> = rows.iter().filter_map(|row| transaction(&row.fact)).collect();
        let block = self.block(number, &wanted).await?;
        for row in rows {
            let difference = match &row.fact {
                RecordedFact::Mined(transaction) => {
                    self.tally.transactions = self.tally.transactions.saturating_add(1);
                    mined(transaction, &block)
                }
                RecordedFact::Settled(payment) => {
                    self.tally.payments = self.tally.payments.saturating_add(1);
                    self.compare_payment(payment, &block, uses)?
                }
            };
            if let Some(difference) = difference {
                self.found(&difference);
            }
        }
        Ok(())
    }

    fn compare_payment(
        &self,
        payment: &Payment,
        block: &MinedBlock,
        uses: &HashSet<AuthorizationKey>,
    ) -> Result<Option<Difference>, Unfinished> {
        let Some(recorded) = payment.state.inclusion() else { return Ok(None) };
        let difference = settled(payment, recorded, block);
        let authorization = &payment.authorization;
        let key = (authorization.asset, authorization.payer, authorization.nonce);
        // A node that leaves logs out would hide uses that nobody recorded as well.
        let asked_for = authorization.method == TransferMethod::Eip3009
            && self.network.assets.contains(&authorization.asset);
        if difference.is_none() && asked_for && !uses.contains(&key) {
            return Err(Unfinished::Contradiction { block_number: block.number });
        }
        Ok(difference)
    }

    /// The block at this height, with those of these transactions that it holds.
    async fn block(&mut self, number: u64, wanted: &[B256]) -> Result<MinedBlock, Unfinished> {
        let node = &self.network.node;
        if !self.by_hash {
            let whole = || async {
                match node.mined_block(number, wanted).await {
                    // The node has no such method, or does not let us call it.
                    Err(ChainError::Refused { .. }) => Ok(None),
                    answer => answer.map(Some),
                }
            };
            if let Some(block) = ask(whole).await? {
                return Ok(block);
            }
            self.by_hash = true;
        }
        ask(|| node.mined_block_by_hash(number, wanted)).await
    }

    fn found(&mut self, difference: &Difference) {
        self.tally.differences = self.tally.differences.saturating_add(1);
        (self.tell)(difference);
    }
}

const fn key(used: &UseLog) -> AuthorizationKey {
    (used.asset, used.payer, used.nonce)
}

/// The transaction that a row of the ledger names.
fn transaction(fact: &RecordedFact) -> Option<B256> {
    match fact {
        RecordedFact::Mined(transaction) => Some(transaction.hash),
        RecordedFact::Settled(payment) => {
            payment.state.inclusion().map(|recorded| recorded.tx_hash)
        }
    }
}
