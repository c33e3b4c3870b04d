//! Whether the chain shows what a receipt states, whoever signed it.

use std::collections::HashSet;
use std::time::Duration;

use chain::{
    BlockTag, BreakerPolicy, ChainError, HttpClient, Node, NodeConfig, Receipt, find_payment,
};
use domain::{Address, Authorization, B256, ChainId, TransferMethod};
use receipt::Statement;
use runtime::Clock;
use secrecy::SecretString;

use super::{Doubt, Finding};

/// How long the node may take for one call.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Only for looks at several nodes, of which there is one here.
const BLOCK_TIME: Duration = Duration::from_secs(2);

/// What the chain shows instead.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Otherwise {
    #[error("the node is on eip155:{found}, and the receipt is about {stated}")]
    OtherNetwork { found: u64, stated: ChainId },
    #[error("the node knows of no transaction {0}")]
    NoTransaction(B256),
    #[error("the transaction failed")]
    Failed,
    #[error("the transaction is in block {number}, {hash}")]
    OtherBlock { number: u64, hash: B256 },
    #[error(
        "in this transaction the token neither says that the payer's authorization was used nor \
         that it paid this amount to this recipient, or says one without the other"
    )]
    NotPaid,
    #[error("the payment is log {0} of its block")]
    OtherLog(u64),
}

/// Asks a node behind this URL.
pub(super) async fn check(statement: &Statement, url: &SecretString) -> Finding {
    let node = open(statement.network, url)?;
    match node.is_on_its_network().await {
        Err(ChainError::WrongNetwork { found }) => {
            return Err(Otherwise::OtherNetwork { found, stated: statement.network }.into());
        }
        answer => answer?,
    }
    let hash = statement.transaction.hash;
    let mined = node.receipt(hash).await?.ok_or(Otherwise::NoTransaction(hash))?;
    compare(statement, &mined)?;
    // A node that keeps receipts of lost blocks gives itself away here.
    let block = node.block(BlockTag::Number(mined.block_number)).await?;
    let canonical = block.ok_or(ChainError::Behind)?.hash;
    if canonical != mined.block_hash {
        let number = mined.block_number;
        return Err(Otherwise::OtherBlock { number, hash: canonical }.into());
    }
    let above = node.head().await?.number.saturating_sub(mined.block_number);
    Ok(format!(
        "chain agrees: paid by log {} of block {}, which has {} confirmations",
        statement.transaction.log_index,
        mined.block_number,
        above.saturating_add(1),
    ))
}

fn open(network: ChainId, url: &SecretString) -> Result<Node, ChainError> {
    let config = NodeConfig {
        chain: network,
        urls: vec![url.clone()],
        timeout: TIMEOUT,
        block_time: BLOCK_TIME,
        breaker: BreakerPolicy::default(),
        // Neither calls nor searches are made here.
        multicall: Address::ZERO,
        signature_factories: HashSet::new(),
        log_lookback_blocks: 0,
        now: || Clock::system().now_unix_secs(),
    };
    Node::new(&HttpClient::new(), config)
}

/// Compares the statement with what the transaction did, which is read as settlement reads it.
fn compare(statement: &Statement, mined: &Receipt) -> Result<(), Doubt> {
    let stated = statement.transaction;
    if mined.tx_hash != stated.hash {
        return Err(ChainError::Unreadable("it is about another transaction".to_owned()).into());
    }
    if (mined.block_number, mined.block_hash) != (stated.block_number, stated.block_hash) {
        let (number, hash) = (mined.block_number, mined.block_hash);
        return Err(Otherwise::OtherBlock { number, hash }.into());
    }
    if !mined.success {
        return Err(Otherwise::Failed.into());
    }
    let paid = find_payment(mined, &authorization(statement)).ok_or(Otherwise::NotPaid)?;
    if paid.log_index != stated.log_index {
        return Err(Otherwise::OtherLog(paid.log_index).into());
    }
    Ok(())
}

/// What the payer signed, as far as logs tell of it: its window is not in them.
fn authorization(statement: &Statement) -> Authorization {
    Authorization {
        method: statement
            .permit2_spender
            .map_or(TransferMethod::Eip3009, |spender| TransferMethod::Permit2 { spender }),
        chain: statement.network,
        asset: statement.asset,
        payer: statement.payer,
        pay_to: statement.pay_to,
        amount: statement.amount,
        valid_after: 0,
        valid_before: 0,
        nonce: statement.nonce,
    }
}

#[cfg(test)]
mod tests {
    use chain::LogEntry;
    use domain::{Amount, Finality, PaymentId, Timestamp, U256};
    use receipt::{Transaction, VERSION};

    use super::*;

    /// The first topics of `AuthorizationUsed` and of `Transfer`.
    const USED: &str = "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5";
    const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

    fn stated() -> Statement {
        Statement {
            version: VERSION,
            payment: PaymentId::new(runtime::new_uuid()),
            network: ChainId::new(1).unwrap(),
            asset: Address::repeat_byte(1),
            payer: Address::repeat_byte(2),
            pay_to: Address::repeat_byte(3),
            amount: Amount::from(100),
            permit2_spender: None,
            nonce: B256::repeat_byte(4),
            transaction: Transaction {
                hash: B256::repeat_byte(5),
                log_index: 7,
                block_number: 11,
                block_hash: B256::repeat_byte(6),
            },
            finality: Finality::Confirmed,
            settled_at: Timestamp::default(),
            issued_at: Timestamp::default(),
        }
    }

    /// A transaction that does what is stated.
    fn mined() -> Receipt {
        let Statement { asset, payer, pay_to, nonce, .. } = stated();
        let log = |index, topics, data: &[u8]| LogEntry {
            address: asset,
            topics,
            data: data.to_vec().into(),
            index,
        };
        let amount = U256::from(100).to_be_bytes::<32>();
        let transfer = vec![TRANSFER.parse().unwrap(), payer.into_word(), pay_to.into_word()];
        Receipt {
            tx_hash: B256::repeat_byte(5),
            block_number: 11,
            block_hash: B256::repeat_byte(6),
            success: true,
            gas_used: 0,
            gas_price: 0,
            logs: vec![
                log(6, vec![USED.parse().unwrap(), payer.into_word(), nonce], &[]),
                log(7, transfer, &amount),
            ],
        }
    }

    #[test]
    fn a_transaction_that_does_what_is_stated_agrees() {
        assert!(compare(&stated(), &mined()).is_ok());
    }

    #[test]
    fn each_way_in_which_a_transaction_does_something_else_is_named() {
        let (number, hash) = (11, B256::repeat_byte(6));
        type Change = fn(&mut Receipt);
        let changes: [(Change, Otherwise); 6] = [
            (|it| it.success = false, Otherwise::Failed),
            (|it| it.block_number = 12, Otherwise::OtherBlock { number: 12, hash }),
            (|it| it.block_hash = B256::ZERO, Otherwise::OtherBlock { number, hash: B256::ZERO }),
            (|it| it.logs.clear(), Otherwise::NotPaid),
            (|it| it.logs.truncate(1), Otherwise::NotPaid),
            (|it| it.logs[1].index = 8, Otherwise::OtherLog(8)),
        ];
        for (change, expected) in changes {
            let mut mined = mined();
            change(&mut mined);
            let found = compare(&stated(), &mined);
            assert!(matches!(found, Err(Doubt::Otherwise(it)) if it == expected), "{expected}");
        }
    }

    #[test]
    fn a_node_that_answers_about_another_transaction_has_said_nothing() {
        let other = Receipt { tx_hash: B256::ZERO, ..mined() };
        assert!(matches!(compare(&stated(), &other), Err(Doubt::Silent(_))));
    }
}
