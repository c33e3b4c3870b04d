//! What a test does to its chain.

use std::time::Duration;

use domain::{Address, B256, U256};
use serde_json::{Value, json};

use super::Anvil;
use super::rpc::quantity;
use crate::eventually;

/// Sends the transactions of the test itself, so that no signer's nonces are disturbed.
const ARRANGER: Address = alloy::primitives::address!("0x00000000000000000000000000000000a11ce000");

/// More than enough for any call of the test token; given so that nothing has to be estimated.
const CALL_GAS: u64 = 500_000;

/// How long a mined transaction may take to have a receipt.
const RECEIPT: Duration = Duration::from_secs(10);

impl Anvil {
    /// The height of the newest block.
    pub async fn block_number(&self) -> u64 {
        quantity(&self.rpc("eth_blockNumber", json!([])).await)
    }

    /// Makes this many blocks now; the first one takes what waits in the mempool.
    pub async fn mine(&self, blocks: u64) {
        self.rpc("anvil_mine", json!([format!("{blocks:#x}")])).await;
    }

    /// Makes a block for each transaction at once, or no longer does.
    pub async fn set_automine(&self, on: bool) {
        self.rpc("evm_setAutomine", json!([on])).await;
    }

    /// Makes a block every so many whole seconds; `None` stops that.
    pub async fn set_interval(&self, interval: Option<Duration>) {
        let seconds = interval.map_or(0, |interval| interval.as_secs().max(1));
        self.rpc("evm_setIntervalMining", json!([seconds])).await;
    }

    /// Replaces the newest `depth` blocks by empty ones: their transactions are gone, and what
    /// they did is undone.
    pub async fn reorg(&self, depth: u64) {
        self.rpc("anvil_reorg", json!([depth, []])).await;
        // A chain that was read from its file loses the code, not the storage, of its contracts.
        self.install_contracts().await;
    }

    /// Forgets what waits in the mempool.
    pub async fn drop_pending(&self) {
        self.rpc("anvil_dropAllTransactions", json!([])).await;
    }

    /// Gives an address this much of the chain's own currency, in wei.
    pub async fn set_balance(&self, address: Address, wei: U256) {
        self.rpc("anvil_setBalance", json!([address, wei])).await;
    }

    /// An address's transaction count in the newest block.
    pub async fn nonce_of(&self, address: Address) -> u64 {
        quantity(&self.rpc("eth_getTransactionCount", json!([address, "latest"])).await)
    }

    /// Sends a transaction of the test's own, makes a block, and gives the hash.
    ///
    /// # Panics
    /// When the call reverts.
    pub async fn transact(&self, to: Address, input: &[u8]) -> B256 {
        self.transact_as(ARRANGER, to, input).await
    }

    /// The same as if this account had signed it, which gets money for gas.
    ///
    /// # Panics
    /// When the call reverts.
    pub async fn transact_by(&self, sender: Address, to: Address, input: &[u8]) -> B256 {
        self.rpc("anvil_impersonateAccount", json!([sender])).await;
        self.set_balance(sender, U256::MAX >> 128).await;
        self.transact_as(sender, to, input).await
    }

    async fn transact_as(&self, sender: Address, to: Address, input: &[u8]) -> B256 {
        let call = json!([{
            "from": sender,
            "to": to,
            "gas": format!("{CALL_GAS:#x}"),
            "input": format!("0x{}", hex::encode(input)),
        }]);
        let hash = self.rpc("eth_sendTransaction", call).await;
        self.mine(1).await;
        let receipt = eventually(RECEIPT, || self.receipt(&hash)).await;
        assert_eq!(receipt["status"], "0x1", "the transaction {hash} reverted");
        serde_json::from_value(hash).unwrap()
    }

    /// What a call answers in the newest block.
    ///
    /// # Panics
    /// When the call reverts.
    pub async fn call(&self, to: Address, input: &[u8]) -> Vec<u8> {
        let input = format!("0x{}", hex::encode(input));
        let answer = self.rpc("eth_call", json!([{"to": to, "input": input}, "latest"])).await;
        let digits = answer.as_str().and_then(|text| text.strip_prefix("0x"));
        hex::decode(digits.expect("bytes of the node begin with 0x")).unwrap()
    }

    async fn receipt(&self, hash: &Value) -> Option<Value> {
        let receipt = self.rpc("eth_getTransactionReceipt", json!([hash])).await;
        (!receipt.is_null()).then_some(receipt)
    }

    /// Lets the test send from an address without a key, with money for gas.
    pub(super) async fn allow_sending(&self) {
        self.rpc("anvil_impersonateAccount", json!([ARRANGER])).await;
        self.set_balance(ARRANGER, U256::MAX >> 128).await;
    }
}
