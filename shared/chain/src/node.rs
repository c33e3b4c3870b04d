//! One EVM node over JSON-RPC.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use alloy::rpc::client::RpcClient;
use alloy::rpc::json_rpc::{RpcRecv, RpcSend};
use alloy::transports::http::Http;
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use domain::ChainId;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::head::RawHead;
use crate::receipt::RawReceipt;
use crate::{BlockTag, ChainError, Head, Receipt};

/// How to reach a node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The network it is expected to be on.
    pub chain: ChainId,
    /// Its URL; it may hold a key.
    pub url: SecretString,
    /// How long one call may take.
    pub timeout: Duration,
    /// Where Multicall3 lives on this network.
    pub multicall: Address,
    /// How many blocks back the log of a used authorization is searched.
    pub log_lookback_blocks: u64,
}

/// The connections to all nodes of a process.
#[derive(Clone, Debug)]
pub struct HttpClient(reqwest::Client);

impl HttpClient {
    /// A client that follows no redirects and takes no proxy from the environment.
    pub fn new() -> Self {
        // Another part of the process may have chosen the same provider before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .expect("a client without files or proxies can always be built");
        Self(client)
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

/// One EVM node. Every call has a deadline; clones share its connections.
#[derive(Clone)]
pub struct Node {
    client: RpcClient,
    config: NodeConfig,
    /// The time of the newest block that it has told of.
    newest: Arc<AtomicI64>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("chain", &self.config.chain).finish_non_exhaustive()
    }
}

impl Node {
    /// A node that is connected to when it is first asked.
    ///
    /// # Errors
    /// [`ChainError::Unreadable`] when the URL is not one.
    pub fn new(http: &HttpClient, config: NodeConfig) -> Result<Self, ChainError> {
        let url = config.url.expose_secret().parse();
        let url = url.map_err(|_| ChainError::Unreadable("URL of the node".to_owned()))?;
        let client = RpcClient::new(Http::with_client(http.0.clone(), url), false);
        Ok(Self { client, config, newest: Arc::default() })
    }

    /// The network it is expected to be on.
    pub const fn chain(&self) -> ChainId {
        self.config.chain
    }

    /// Where Multicall3 lives on this network.
    pub const fn multicall(&self) -> Address {
        self.config.multicall
    }

    pub(crate) const fn log_lookback_blocks(&self) -> u64 {
        self.config.log_lookback_blocks
    }

    /// Asks for one thing, within the deadline.
    pub(crate) async fn ask<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, ChainError> {
        let began = Instant::now();
        let limit = self.config.timeout;
        let answer = tokio::time::timeout(limit, self.client.request(method, params)).await;
        let answer = match answer {
            Err(_) => Err(ChainError::TimedOut { limit }),
            Ok(answer) => answer.map_err(ChainError::from),
        };
        let network = self.config.chain.to_string();
        metrics::counter!("rpc_requests_total", "network" => network.clone(), "method" => method)
            .increment(1);
        metrics::histogram!("rpc_request_duration_seconds", "network" => network.clone(), "method" => method)
            .record(began.elapsed().as_secs_f64());
        if answer.is_err() {
            metrics::counter!("rpc_errors_total", "network" => network, "method" => method)
                .increment(1);
        }
        answer
    }

    /// The network the node says it is on.
    ///
    /// # Errors
    /// [`ChainError`] when it did not say.
    pub async fn chain_id(&self) -> Result<u64, ChainError> {
        let id: U64 = self.ask("eth_chainId", ()).await?;
        Ok(id.to())
    }

    /// That the node answers, and is on the network that it is configured for.
    ///
    /// # Errors
    /// [`ChainError`] when it does not, or is on another.
    pub async fn is_on_its_network(&self) -> Result<(), ChainError> {
        let id = self.chain_id().await?;
        if id == self.config.chain.get() {
            Ok(())
        } else {
            Err(ChainError::Unreadable(format!("the node is on eip155:{id}")))
        }
    }

    /// This block, or `None` when the node has no such block.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say.
    pub async fn block(&self, tag: BlockTag) -> Result<Option<Head>, ChainError> {
        let raw: Option<RawHead> = self.ask("eth_getBlockByNumber", (tag.param(), false)).await?;
        let block = raw.map(Head::from);
        if let (BlockTag::Latest, Some(head)) = (tag, &block) {
            self.newest.fetch_max(head.timestamp, Ordering::AcqRel);
        }
        Ok(block)
    }

    /// The time, in Unix seconds, of the newest block that it has ever told of: what it says as of
    /// an earlier one is old.
    pub(crate) fn newest_block_time(&self) -> i64 {
        self.newest.load(Ordering::Acquire)
    }

    /// The node's newest block.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say.
    pub async fn head(&self) -> Result<Head, ChainError> {
        self.block(BlockTag::Latest)
            .await?
            .ok_or_else(|| ChainError::Unreadable("no newest block".to_owned()))
    }

    /// The time, in Unix seconds, of the newest block that has `confirmations` blocks, itself
    /// included; 0 where the node does not have that block, which is no evidence of any time.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say.
    pub async fn final_block_time(&self, confirmations: u64) -> Result<i64, ChainError> {
        let head = self.head().await?;
        let depth = confirmations.saturating_sub(1);
        if depth == 0 {
            return Ok(head.timestamp);
        }
        let block = self.block(BlockTag::Number(head.number.saturating_sub(depth))).await?;
        Ok(block.map_or(0, |block| block.timestamp))
    }

    /// Whether the block at this height has `confirmations` blocks, itself included.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say.
    pub async fn is_deep(&self, number: u64, confirmations: u64) -> Result<bool, ChainError> {
        let above = confirmations.saturating_sub(1);
        Ok(number.saturating_add(above) <= self.head().await?.number)
    }

    /// Every receipt of the block at this height, or `None` when the node has no such block.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say.
    pub async fn block_receipts(&self, number: u64) -> Result<Option<Vec<Receipt>>, ChainError> {
        let raw: Option<Vec<RawReceipt>> =
            self.ask("eth_getBlockReceipts", (BlockTag::Number(number).param(),)).await?;
        Ok(raw.map(|receipts| receipts.into_iter().map(Receipt::from).collect()))
    }

    /// The receipt of this transaction, or `None` when no block that the node knows holds it.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say.
    pub async fn receipt(&self, tx_hash: B256) -> Result<Option<Receipt>, ChainError> {
        let raw: Option<RawReceipt> = self.ask("eth_getTransactionReceipt", (tx_hash,)).await?;
        Ok(raw.map(Receipt::from))
    }

    /// The nonce that the address's next transaction would have after this block; `None` means
    /// after everything that is pending.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say.
    pub async fn nonce(&self, address: Address, at: Option<BlockTag>) -> Result<u64, ChainError> {
        let at = at.map_or_else(|| "pending".to_owned(), BlockTag::param);
        let nonce: U64 = self.ask("eth_getTransactionCount", (address, at)).await?;
        Ok(nonce.to())
    }

    /// The address's balance of the network's own coin, in wei.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say.
    pub async fn balance(&self, address: Address) -> Result<U256, ChainError> {
        self.ask("eth_getBalance", (address, "latest")).await
    }

    /// What a call returns when it is made now, without being sent.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] when it would revert, other [`ChainError`]s when the node did not say.
    pub async fn call(&self, call: &CallRequest<'_>) -> Result<Bytes, ChainError> {
        self.ask("eth_call", (call.to_json(), call.at)).await
    }

    /// The gas that a call would use when it is made now.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] when it would revert, other [`ChainError`]s when the node did not say.
    pub async fn estimate_gas(&self, call: &CallRequest<'_>) -> Result<u64, ChainError> {
        let gas: U64 = self.ask("eth_estimateGas", (call.to_json(), call.at)).await?;
        Ok(gas.to())
    }
}

/// A call to be tried.
#[derive(Clone, Copy, Debug)]
pub struct CallRequest<'a> {
    pub(crate) from: Option<Address>,
    pub(crate) to: Address,
    pub(crate) input: &'a Bytes,
    pub(crate) at: &'static str,
    pub(crate) gas: Option<u64>,
}

impl CallRequest<'_> {
    fn to_json(self) -> Value {
        let mut call = json!({ "to": self.to, "input": self.input });
        if let Some(from) = self.from {
            call["from"] = json!(from);
        }
        if let Some(gas) = self.gas {
            call["gas"] = json!(format!("{gas:#x}"));
        }
        call
    }
}
