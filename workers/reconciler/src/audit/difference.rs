//! In what ledger and chain can differ.

use std::fmt;

use chain::UseLog;
use domain::{Authorization, B256, ChainId, Inclusion, PaymentId, StateName, TransactionId};
use serde_json::{Value, json};
use store::SharedPlace;

/// One thing that ledger and chain say differently, with all that is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A settled payment names a block that is not the one at its height.
    WrongBlock {
        /// The payment.
        payment: PaymentId,
        /// Where the ledger says that it was paid.
        recorded: Inclusion,
        /// The hash of the block that is there.
        found: B256,
    },
    /// A settled payment names a transaction that its block does not hold.
    NoTransaction {
        /// The payment.
        payment: PaymentId,
        /// Where the ledger says that it was paid.
        recorded: Inclusion,
    },
    /// A settled payment names a transaction that does not make it.
    NotPaid {
        /// The payment.
        payment: PaymentId,
        /// What was to be paid.
        authorization: Authorization,
        /// Where the ledger says that it was paid.
        recorded: Inclusion,
    },
    /// A settled payment was made by its transaction, with another log.
    WrongLog {
        /// The payment.
        payment: PaymentId,
        /// Where the ledger says that it was paid.
        recorded: Inclusion,
        /// The log that pays.
        found: u64,
    },
    /// A settled payment's authorization was used by another transaction than the recorded one.
    UsedElsewhere {
        /// The payment.
        payment: PaymentId,
        /// Where the ledger says that it was paid.
        recorded: Inclusion,
        /// What the token says.
        used: UseLog,
    },
    /// A payment that ended unpaid was paid: the seller has money for something he thinks unpaid.
    PaidButEnded {
        /// The payment.
        payment: PaymentId,
        /// How it ended.
        state: StateName,
        /// Where it was paid.
        found: Inclusion,
    },
    /// A transaction of ours used the authorization of a payment that ended, and did not pay it.
    Misspent {
        /// The payment.
        payment: PaymentId,
        /// How it ended.
        state: StateName,
        /// What the token says.
        used: UseLog,
    },
    /// A transaction of ours used an authorization that the ledger does not know.
    UnknownUse {
        /// What the token says.
        used: UseLog,
    },
    /// Several settled payments name the same log as theirs.
    Doubled(SharedPlace),
    /// A transaction of ours is recorded in a block that does not hold it.
    NotMined {
        /// The transaction.
        transaction: TransactionId,
        /// The attempt that the ledger says was mined.
        tx_hash: B256,
        /// The height of the block.
        block_number: u64,
        /// The hash that the ledger has of the block.
        recorded: B256,
        /// The hash of the block that is there.
        found: B256,
    },
    /// A transaction of ours used more gas than the ledger says it was allowed to.
    GasAboveLimit {
        /// The transaction.
        transaction: TransactionId,
        /// The attempt that was mined.
        tx_hash: B256,
        /// The gas that it used.
        gas_used: u64,
        /// The gas that it was signed for, by the ledger.
        gas_limit: u64,
    },
}

impl Difference {
    /// Every kind there is, for those who count.
    pub const KINDS: [&'static str; 11] = [
        "wrong_block",
        "no_transaction",
        "not_paid",
        "wrong_log",
        "used_elsewhere",
        "paid_but_ended",
        "misspent",
        "unknown_use",
        "doubled",
        "not_mined",
        "gas_above_limit",
    ];

    /// The kind, as the output and the metrics name it; it never changes.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::WrongBlock { .. } => "wrong_block",
            Self::NoTransaction { .. } => "no_transaction",
            Self::NotPaid { .. } => "not_paid",
            Self::WrongLog { .. } => "wrong_log",
            Self::UsedElsewhere { .. } => "used_elsewhere",
            Self::PaidButEnded { .. } => "paid_but_ended",
            Self::Misspent { .. } => "misspent",
            Self::UnknownUse { .. } => "unknown_use",
            Self::Doubled(_) => "doubled",
            Self::NotMined { .. } => "not_mined",
            Self::GasAboveLimit { .. } => "gas_above_limit",
        }
    }

    /// Everything that is known about it, with the sentence for people.
    pub fn to_json(&self, network: ChainId) -> Value {
        let mut line = self.detail();
        line["kind"] = json!(self.kind());
        line["network"] = json!(network);
        line["sentence"] = json!(self.to_string());
        line
    }

    fn detail(&self) -> Value {
        match self {
            Self::WrongBlock { payment, recorded, found } => {
                json!({"payment": payment, "recorded": place(recorded), "found": found})
            }
            Self::NoTransaction { payment, recorded } => {
                json!({"payment": payment, "recorded": place(recorded)})
            }
            Self::NotPaid { payment, authorization, recorded } => json!({
                "payment": payment,
                "asset": authorization.asset,
                "payer": authorization.payer,
                "nonce": authorization.nonce,
                "pay_to": authorization.pay_to,
                "amount": authorization.amount,
                "recorded": place(recorded),
            }),
            Self::WrongLog { payment, recorded, found } => {
                json!({"payment": payment, "recorded": place(recorded), "found": found})
            }
            Self::UsedElsewhere { payment, recorded, used } => {
                json!({"payment": payment, "recorded": place(recorded), "used": use_log(used)})
            }
            Self::PaidButEnded { payment, state, found } => {
                json!({"payment": payment, "state": state, "found": place(found)})
            }
            Self::Misspent { payment, state, used } => {
                json!({"payment": payment, "state": state, "used": use_log(used)})
            }
            Self::UnknownUse { used } => json!({"used": use_log(used)}),
            Self::Doubled(SharedPlace { tx_hash, log_index, payments }) => {
                json!({"tx_hash": tx_hash, "log_index": log_index, "payments": payments})
            }
            Self::NotMined { transaction, tx_hash, block_number, recorded, found } => json!({
                "transaction": transaction,
                "tx_hash": tx_hash,
                "block_number": block_number,
                "recorded": recorded,
                "found": found,
            }),
            Self::GasAboveLimit { transaction, tx_hash, gas_used, gas_limit } => json!({
                "transaction": transaction,
                "tx_hash": tx_hash,
                "gas_used": gas_used,
                "gas_limit": gas_limit,
            }),
        }
    }
}

fn place(inclusion: &Inclusion) -> Value {
    json!({
        "tx_hash": inclusion.tx_hash,
        "log_index": inclusion.log_index,
        "block_number": inclusion.block_number,
        "block_hash": inclusion.block_hash,
    })
}

fn use_log(used: &UseLog) -> Value {
    json!({
        "asset": used.asset,
        "payer": used.payer,
        "nonce": used.nonce,
        "tx_hash": used.tx_hash,
        "block_number": used.block_number,
    })
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongBlock { payment, recorded, found } => write!(
                f,
                "{payment} is settled in block {} with hash {}, and the block there is {found}",
                recorded.block_number, recorded.block_hash,
            ),
            Self::NoTransaction { payment, recorded } => write!(
                f,
                "{payment} is settled by {}, which block {} does not hold",
                recorded.tx_hash, recorded.block_number,
            ),
            Self::NotPaid { payment, authorization, recorded } => write!(
                f,
                "{payment} is settled by {}, which does not pay {} from {} to {}",
                recorded.tx_hash, authorization.amount, authorization.payer, authorization.pay_to,
            ),
            Self::WrongLog { payment, recorded, found } => write!(
                f,
                "{payment} is settled at log {} of {}, and was paid at log {found}",
                recorded.log_index, recorded.tx_hash,
            ),
            Self::UsedElsewhere { payment, recorded, used } => write!(
                f,
                "{payment} is settled by {}, and its authorization was used by {}",
                recorded.tx_hash, used.tx_hash,
            ),
            Self::PaidButEnded { payment, state, found } => {
                write!(f, "{payment} is {state}, and {} has paid it", found.tx_hash)
            }
            Self::Misspent { payment, state, used } => write!(
                f,
                "{payment} is {state}, and {}, which is ours, used its authorization without paying",
                used.tx_hash,
            ),
            Self::UnknownUse { used } => write!(
                f,
                "{}, which is ours, used authorization {} of {}, which is no payment",
                used.tx_hash, used.nonce, used.payer,
            ),
            Self::Doubled(SharedPlace { tx_hash, log_index, payments }) => {
                write!(f, "{} payments are settled at log {log_index} of {tx_hash}", payments.len())
            }
            Self::NotMined { transaction, tx_hash, block_number, .. } => write!(
                f,
                "{transaction} is mined as {tx_hash} in block {block_number}, which does not hold it",
            ),
            Self::GasAboveLimit { transaction, tx_hash, gas_used, gas_limit } => write!(
                f,
                "{transaction} was signed for {gas_limit} gas, and {tx_hash} used {gas_used}",
            ),
        }
    }
}
