//! The demo's own look at the chain: it judges the product by other code than the product's.

use std::time::Duration;

use alloy_primitives::{Bytes, U64};
use alloy_sol_types::{SolCall, SolEvent, sol};
use domain::{Address, Amount, B256};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::failure::Failure;

sol! {
    event Transfer(address indexed from, address indexed to, uint256 value);
    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
    function mint(address to, uint256 value) external returns (bool);
    function balanceOf(address account) external view returns (uint256);
}

/// The pause before a node is asked again.
const PAUSE: Duration = Duration::from_millis(250);

/// How long the arrangements on the chain may take.
const ARRANGEMENT: Duration = Duration::from_secs(60);

/// A node, and the token on it.
pub(crate) struct ChainView {
    http: reqwest::Client,
    url: String,
    token: Address,
}

/// A log of the token.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenLog {
    pub(crate) topics: Vec<B256>,
    pub(crate) data: Bytes,
    pub(crate) transaction_hash: B256,
    pub(crate) log_index: U64,
}

/// What a transaction cost, and where it is.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Receipt {
    pub(crate) block_number: U64,
    pub(crate) gas_used: U64,
    status: U64,
}

impl ChainView {
    pub(crate) const fn new(http: reqwest::Client, url: String, token: Address) -> Self {
        Self { http, url, token }
    }

    pub(crate) async fn height(&self) -> u64 {
        self.insist::<U64>("eth_blockNumber", &json!([])).await.to()
    }

    /// Gives each of these so much of the test token, and waits until the blocks that did it are
    /// `confirmations` deep: a node that is killed forgets its newest ones.
    pub(crate) async fn mint(
        &self,
        to: &[Address],
        amount: Amount,
        confirmations: u64,
    ) -> Result<(), Failure> {
        let minted =
            tokio::time::timeout(ARRANGEMENT, self.mint_and_wait(to, amount, confirmations));
        minted.await.unwrap_or_else(|_| Err(Failure::Said("the chain makes no blocks".into())))
    }

    async fn mint_and_wait(
        &self,
        to: &[Address],
        amount: Amount,
        confirmations: u64,
    ) -> Result<(), Failure> {
        let accounts: Vec<Address> = self.ask("eth_accounts", &json!([])).await?;
        let minter = accounts.first().ok_or_else(|| {
            Failure::Said("the demo needs a development chain, whose node has accounts".into())
        })?;
        let mut last = 0;
        let mut sent = Vec::new();
        for to in to {
            let data = Bytes::from(mintCall { to: *to, value: amount.units() }.abi_encode());
            let call = json!([{"from": minter, "to": self.token, "data": data}]);
            sent.push(self.ask::<B256>("eth_sendTransaction", &call).await?);
        }
        for hash in sent {
            let receipt = self.receipt_in_time(hash).await;
            if receipt.status.is_zero() {
                return Err(Failure::Said("the test token mints nothing".into()));
            }
            last = last.max(receipt.block_number.to());
        }
        while self.height().await < last + confirmations.saturating_sub(1) {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// What an address has of the token.
    pub(crate) async fn balance_of(&self, account: Address) -> Amount {
        let data = Bytes::from(balanceOfCall { account }.abi_encode());
        let call = json!([{"to": self.token, "data": data}, "latest"]);
        Amount::new(self.insist::<B256>("eth_call", &call).await.into())
    }

    /// Every transfer and every use of an authorization since this block, in the chain's order.
    pub(crate) async fn token_logs(&self, from_block: u64) -> Vec<TokenLog> {
        let filter = json!([{
            "address": self.token,
            "fromBlock": format!("{from_block:#x}"),
            "toBlock": "latest",
            "topics": [[Transfer::SIGNATURE_HASH, AuthorizationUsed::SIGNATURE_HASH]],
        }]);
        self.insist("eth_getLogs", &filter).await
    }

    /// The receipt, if a block holds the transaction.
    pub(crate) async fn receipt(&self, hash: B256) -> Option<Receipt> {
        self.insist("eth_getTransactionReceipt", &json!([hash])).await
    }

    async fn receipt_in_time(&self, hash: B256) -> Receipt {
        loop {
            if let Some(receipt) = self.receipt(hash).await {
                return receipt;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The result of a method, asked for until there is one.
    async fn insist<R: DeserializeOwned>(&self, method: &str, params: &Value) -> R {
        loop {
            match self.ask(method, params).await {
                Ok(result) => return result,
                Err(failure) => tracing::debug!(%failure, method, "the node is asked again"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The result of a method, asked for once.
    async fn ask<R: DeserializeOwned>(&self, method: &str, params: &Value) -> Result<R, Failure> {
        let failed = |what: String| Failure::Said(format!("{method}: {what}"));
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = self.http.post(&self.url).json(&request).send().await;
        // The URL may hold a key.
        let answer = answer.map_err(|error| failed(error.without_url().to_string()))?;
        let answer: Value =
            answer.json().await.map_err(|error| failed(error.without_url().to_string()))?;
        if let Some(error) = answer.get("error") {
            return Err(failed(error["message"].as_str().unwrap_or("refused").to_owned()));
        }
        serde_json::from_value(answer["result"].clone()).map_err(|error| failed(error.to_string()))
    }
}
