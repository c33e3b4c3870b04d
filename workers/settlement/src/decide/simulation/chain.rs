//! A chain with one token: blocks that come and go, and a mempool that forgets.

use alloy_primitives::{Bytes, keccak256};
use chain::{AuthorizationUse, AuthorizationView, Head, LogEntry, Receipt, SendAnswer};
use domain::{Amount, Authorization, B256, Inclusion, U256};
use testkit::Dice;

/// What a transaction does with the authorization of this index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Redeems it.
    Pay(usize),
    /// Cancels it.
    Cancel(usize),
    /// Takes the payer's money elsewhere.
    Empty(usize),
    /// Brings it back.
    Fund(usize),
}

/// Bytes that were sent, as far as a chain looks at them.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) hash: B256,
    /// The signer's nonce; a stranger's nonces are his own affair.
    pub(super) nonce: Option<u64>,
    pub(super) max_fee: u128,
    pub(super) calls: Vec<Call>,
}

/// What is true after a block.
#[derive(Clone, Debug)]
struct State {
    uses: Vec<Option<AuthorizationUse>>,
    funded: Vec<bool>,
    nonce: u64,
}

#[derive(Clone, Debug)]
struct Block {
    head: Head,
    sent: Vec<Sent>,
    receipts: Vec<Receipt>,
    state: State,
}

#[derive(Debug)]
pub(super) struct Chain {
    authorizations: Vec<Authorization>,
    blocks: Vec<Block>,
    pool: Vec<Sent>,
    pub(super) base_fee: u128,
    highest: u64,
    hashes: u64,
}

impl Chain {
    pub(super) fn new(authorizations: Vec<Authorization>, funded: Vec<bool>) -> Self {
        let uses = vec![None; authorizations.len()];
        let head =
            Head { number: 0, hash: B256::ZERO, parent: B256::ZERO, timestamp: 0, base_fee: 10 };
        let state = State { uses, funded, nonce: 0 };
        let genesis = Block { head, sent: Vec::new(), receipts: Vec::new(), state };
        Self {
            authorizations,
            blocks: vec![genesis],
            pool: Vec::new(),
            base_fee: 10,
            highest: 0,
            hashes: 0,
        }
    }

    pub(super) fn new_hash(&mut self) -> B256 {
        self.hashes += 1;
        B256::from(U256::from(self.hashes))
    }

    /// The newest block, as a node sees it that is so many blocks behind.
    fn seen(&self, lag: usize) -> &Block {
        &self.blocks[self.blocks.len().saturating_sub(1 + lag)]
    }

    pub(super) fn head(&self, lag: usize) -> Head {
        self.seen(lag).head
    }

    pub(super) fn block(&self, number: u64, lag: usize) -> Option<Head> {
        let block = self.blocks.get(usize::try_from(number).unwrap())?;
        (number <= self.head(lag).number).then_some(block.head)
    }

    pub(super) fn receipt(&self, hash: B256, lag: usize) -> Option<Receipt> {
        let seen = &self.blocks[..self.blocks.len().saturating_sub(lag).max(1)];
        let mut receipts = seen.iter().flat_map(|block| &block.receipts);
        receipts.find(|receipt| receipt.tx_hash == hash).cloned()
    }

    pub(super) fn nonce(&self, lag: usize) -> u64 {
        self.seen(lag).state.nonce
    }

    /// The nonce after everything that is pending.
    pub(super) fn pending_nonce(&self) -> u64 {
        let mut nonce = self.nonce(0);
        while self.pool.iter().any(|sent| sent.nonce == Some(nonce)) {
            nonce += 1;
        }
        nonce
    }

    /// What the token says; the client takes no answer from an older block than it has seen.
    pub(super) fn view(&self, index: usize) -> AuthorizationView {
        let newest = self.seen(0);
        let (state, as_of) = (&newest.state, newest.head.timestamp);
        let balance =
            if state.funded[index] { self.authorizations[index].amount } else { Amount::from(0) };
        AuthorizationView {
            used: state.uses[index].is_some(),
            balance,
            allowance: None,
            permit_nonce: None,
            as_of,
        }
    }

    pub(super) fn find_use(&self, index: usize, lag: usize) -> AuthorizationUse {
        self.seen(lag).state.uses[index].unwrap_or(AuthorizationUse::NotFound)
    }

    /// Whether the payment would be made if a block came now.
    pub(super) fn would_pay(&self, index: usize) -> bool {
        let last = self.seen(0);
        can_pay(&self.authorizations[index], index, &last.state, last.head.timestamp + 1)
    }

    /// Whether the authorization could still move money some time, if the payer had any.
    pub(super) fn is_alive(&self, index: usize) -> bool {
        let last = self.seen(0);
        let in_time = last.head.timestamp + 1 < self.authorizations[index].valid_before;
        last.state.uses[index].is_none() && in_time
    }

    /// What the node makes of bytes that are sent to it.
    pub(super) fn send(&mut self, sent: Sent) -> SendAnswer {
        if self.pool.iter().any(|other| other.hash == sent.hash) {
            return SendAnswer::AlreadyKnown;
        }
        if sent.nonce.is_some_and(|nonce| nonce < self.nonce(0)) {
            return SendAnswer::NonceTooLow;
        }
        if sent.nonce.is_some() {
            let rival = self.pool.iter().position(|other| other.nonce == sent.nonce);
            if let Some(rival) = rival {
                if sent.max_fee < self.pool[rival].max_fee + self.pool[rival].max_fee / 10 {
                    return SendAnswer::Underpriced;
                }
                self.pool.remove(rival);
            }
        }
        self.pool.push(sent);
        SendAnswer::Accepted
    }

    pub(super) fn forget_pending(&mut self) {
        self.pool.clear();
    }

    /// Makes a block with some of what waits, in the order of the nonces.
    pub(super) fn mine(&mut self, dice: &mut Dice, takes_all: bool) {
        let last = self.seen(0);
        let head = Head {
            number: last.head.number + 1,
            parent: last.head.hash,
            timestamp: last.head.timestamp + 1,
            base_fee: self.base_fee,
            hash: B256::ZERO,
        };
        let head = Head { hash: self.new_hash(), ..head };
        let state = self.seen(0).state.clone();
        let mut block = Block { head, sent: Vec::new(), receipts: Vec::new(), state };
        let mut waiting = std::mem::take(&mut self.pool);
        waiting.sort_by_key(|sent| sent.nonce);
        for sent in waiting {
            let is_next = sent.nonce.is_none_or(|nonce| nonce == block.state.nonce);
            let is_dead = sent.nonce.is_some_and(|nonce| nonce < block.state.nonce);
            if is_next && sent.max_fee >= self.base_fee && (takes_all || dice.percent(70)) {
                self.execute(&mut block, sent);
            } else if !is_dead {
                self.pool.push(sent);
            }
        }
        self.highest = self.highest.max(block.head.number);
        self.blocks.push(block);
    }

    fn execute(&self, block: &mut Block, sent: Sent) {
        let first = block.receipts.iter().map(|receipt| receipt.logs.len()).sum::<usize>();
        let mut receipt = Receipt {
            tx_hash: sent.hash,
            block_number: block.head.number,
            block_hash: block.head.hash,
            success: true,
            gas_used: 21_000,
            gas_price: self.base_fee,
            logs: Vec::new(),
        };
        for call in &sent.calls {
            self.call(*call, block, &mut receipt, first as u64);
        }
        if let Some(nonce) = sent.nonce {
            block.state.nonce = nonce + 1;
        }
        block.receipts.push(receipt);
        block.sent.push(sent);
    }

    fn call(&self, call: Call, block: &mut Block, receipt: &mut Receipt, first: u64) {
        let spent = AuthorizationUse::Spent { block_number: block.head.number };
        match call {
            Call::Empty(index) => block.state.funded[index] = false,
            Call::Fund(index) => block.state.funded[index] = true,
            Call::Cancel(index) => {
                block.state.uses[index].get_or_insert(spent);
            }
            Call::Pay(index) => {
                let authorization = &self.authorizations[index];
                if !can_pay(authorization, index, &block.state, block.head.timestamp) {
                    return;
                }
                let at = first + receipt.logs.len() as u64;
                receipt.logs.extend(logs(authorization, at));
                block.state.funded[index] = false;
                block.state.uses[index] = Some(AuthorizationUse::Paid(Inclusion {
                    tx_hash: receipt.tx_hash,
                    log_index: at + 1,
                    block_number: block.head.number,
                    block_hash: block.head.hash,
                }));
            }
        }
    }

    /// Undoes the newest blocks, never a final one; what they held may wait again, or be forgotten.
    pub(super) fn undo(&mut self, blocks: u64, confirmations: u64, dice: &mut Dice) {
        for _ in 0..blocks {
            let newest = self.head(0).number;
            if newest == 0 || newest + confirmations <= self.highest + 1 {
                return;
            }
            let block = self.blocks.pop().unwrap();
            let back: Vec<Sent> = block.sent.into_iter().filter(|_| dice.percent(50)).collect();
            self.pool.retain(|sent| !back.iter().any(|other| same_nonce(other, sent)));
            self.pool.extend(back);
        }
    }
}

fn same_nonce(one: &Sent, other: &Sent) -> bool {
    one.nonce.is_some() && one.nonce == other.nonce
}

fn can_pay(authorization: &Authorization, index: usize, state: &State, time: i64) -> bool {
    state.uses[index].is_none()
        && state.funded[index]
        && time > authorization.valid_after
        && time < authorization.valid_before
}

/// What the token writes when it redeems an authorization.
fn logs(authorization: &Authorization, index: u64) -> [LogEntry; 2] {
    let entry = |topics: [B256; 3], data: Bytes, index: u64| LogEntry {
        address: authorization.asset,
        topics: topics.to_vec(),
        data,
        index,
    };
    let used = keccak256("AuthorizationUsed(address,bytes32)");
    let transfer = keccak256("Transfer(address,address,uint256)");
    let (payer, pay_to) = (authorization.payer.into_word(), authorization.pay_to.into_word());
    let amount = B256::from(authorization.amount.units());
    [
        entry([used, payer, authorization.nonce], Bytes::new(), index),
        entry([transfer, payer, pay_to], amount.0.into(), index + 1),
    ]
}
