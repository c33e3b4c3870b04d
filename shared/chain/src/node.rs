//! A network's node: several URLs in order of preference, and which of them to ask.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alloy::rpc::json_rpc::{RpcRecv, RpcSend};
use alloy_primitives::{Address, U64};
use domain::ChainId;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::Instant as Deadline;

use crate::ChainError;
use crate::blame::Blame;
use crate::breaker::BreakerPolicy;
use crate::endpoint::Endpoint;
use crate::fence::Fence;
use crate::order::{MOST_ASKED, Standing, last_resort, order};
use crate::url_name::url_names;

/// How to reach a network.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The network that its nodes are expected to be on.
    pub chain: ChainId,
    /// Their URLs, the preferred first; they may hold keys.
    pub urls: Vec<SecretString>,
    /// How long one of them may take for one call.
    pub timeout: Duration,
    /// How often the network has a new block.
    pub block_time: Duration,
    /// When one of them is left alone.
    pub breaker: BreakerPolicy,
    /// Where Multicall3 lives on this network.
    pub multicall: Address,
    /// The contracts that may deploy a wallet for its payment (ERC-6492).
    pub signature_factories: HashSet<Address>,
    /// How many blocks back the log of a used authorization is searched.
    pub log_lookback_blocks: u64,
    /// What time it is, in Unix seconds: a block that is dated far ahead of it is rubbish.
    pub now: fn() -> i64,
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

    pub(crate) fn client(&self) -> reqwest::Client {
        self.0.clone()
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

/// A network's node, behind which stand several URLs. Every call has a deadline; clones share the
/// connections and everything that is known of the endpoints.
///
/// A call goes to the preferred endpoint that is well. One that fails, or that has not got as far
/// as what callers were told of the chain already, is passed over within the call: three are asked
/// at most, each within the timeout. What an endpoint says about the request itself is the answer.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    config: NodeConfig,
    endpoints: Vec<Arc<Endpoint>>,
    fence: Arc<Mutex<Fence>>,
    /// Done once every endpoint was asked how far it is, or was given the time to say so.
    acquainted: OnceCell<()>,
    looks: Mutex<Looks>,
    /// Broadcasts that nobody may be waiting for any more. They end with the node.
    broadcasts: Mutex<JoinSet<()>>,
}

/// Looks at the endpoints that no caller asks at the moment. They end with the node.
#[derive(Debug, Default)]
struct Looks {
    began: Option<Instant>,
    running: JoinSet<()>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("chain", &self.chain()).finish_non_exhaustive()
    }
}

impl Node {
    /// A node whose endpoints are connected to when they are first asked.
    ///
    /// # Errors
    /// [`ChainError::Unreadable`] when there is no URL, or one that is none.
    pub fn new(http: &HttpClient, config: NodeConfig) -> Result<Self, ChainError> {
        let unreadable = || ChainError::Unreadable("URL of the node".to_owned());
        let urls = config.urls.iter().map(|url| url.expose_secret().parse::<Url>());
        let urls = urls.collect::<Result<Vec<Url>, _>>().map_err(|_| unreadable())?;
        if urls.is_empty() {
            return Err(unreadable());
        }
        let (names, fence) = (url_names(&urls), Arc::<Mutex<Fence>>::default());
        let endpoint = |named| Arc::new(Endpoint::new(http, named, &config, Arc::clone(&fence)));
        let endpoints = urls.into_iter().zip(names).map(endpoint).collect();
        Ok(Self(Arc::new(Inner {
            config,
            endpoints,
            fence,
            acquainted: OnceCell::new(),
            looks: Mutex::default(),
            broadcasts: Mutex::default(),
        })))
    }

    /// The network it is expected to be on.
    pub fn chain(&self) -> ChainId {
        self.0.config.chain
    }

    /// Where Multicall3 lives on this network.
    pub fn multicall(&self) -> Address {
        self.0.config.multicall
    }

    pub(crate) fn may_deploy(&self, factory: Address) -> bool {
        self.0.config.signature_factories.contains(&factory)
    }

    pub(crate) fn unix_secs(&self) -> i64 {
        (self.0.config.now)()
    }

    pub(crate) fn log_lookback_blocks(&self) -> u64 {
        self.0.config.log_lookback_blocks
    }

    /// The network the node says it is on.
    ///
    /// # Errors
    /// [`ChainError`] when it did not say.
    pub async fn chain_id(&self) -> Result<u64, ChainError> {
        let id: U64 = self.ask("eth_chainId", ()).await?;
        Ok(id.to())
    }

    /// That at least one endpoint answers, and is on the network that it is configured for.
    ///
    /// # Errors
    /// [`ChainError`] when none does: what the first that said anything said.
    pub async fn is_on_its_network(&self) -> Result<(), ChainError> {
        let mut asked = JoinSet::new();
        for endpoint in &self.0.endpoints {
            let endpoint = Arc::clone(endpoint);
            asked.spawn(async move { endpoint.verify(endpoint.deadline()).await });
        }
        let mut failure = None;
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => failure = failure.or(Some(error)),
                Err(error) => tracing::error!(%error, "a node was not asked to the end"),
            }
        }
        Err(failure.unwrap_or_else(ChainError::nobody))
    }

    /// Asks for one thing.
    pub(crate) async fn ask<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, ChainError> {
        self.ask_and_read(method, params, Ok).await
    }

    /// Asks for one thing until somebody answers so that `read` can read it.
    pub(crate) async fn ask_and_read<P: RpcSend, R: RpcRecv, T>(
        &self,
        method: &'static str,
        params: P,
        read: impl Fn(R) -> Result<T, ChainError> + Send + Sync,
    ) -> Result<T, ChainError> {
        let mut failure = None;
        for endpoint in self.candidates().await {
            let deadline = endpoint.deadline();
            let answer = match self.catch_up(endpoint, deadline).await {
                Ok(()) => endpoint.ask(method, params.clone(), deadline).await.and_then(&read),
                Err(error) => Err(error),
            };
            match answer {
                Err(error) if error.blame() != Blame::Request => {
                    let (network, url_name) = (self.chain(), endpoint.name());
                    tracing::debug!(%error, %network, url_name, method, "another node is asked");
                    failure = Some(error);
                }
                answer => return answer,
            }
        }
        Err(failure.unwrap_or_else(ChainError::nobody))
    }

    /// That this endpoint has got as far as callers were told that the chain is: what it says of
    /// the chain before that is no evidence. A single endpoint is its own measure.
    ///
    /// # Errors
    /// [`ChainError::Behind`] when it has not, other [`ChainError`]s when it did not say.
    pub(crate) async fn catch_up(
        &self,
        endpoint: &Endpoint,
        deadline: Deadline,
    ) -> Result<(), ChainError> {
        let fence = self.fence().number();
        let known = endpoint.standing().head.unwrap_or_default();
        if known >= fence || !self.has_several() || endpoint.head(deadline).await?.number >= fence {
            return Ok(());
        }
        Err(ChainError::Behind)
    }

    /// Whom to ask, one after the other while they fail; the last one may be one that should be
    /// left alone.
    pub(crate) async fn candidates(&self) -> Vec<&Arc<Endpoint>> {
        let standings = self.look_around().await;
        let order = order(&standings).into_iter().chain(last_resort(&standings));
        order.take(MOST_ASKED).filter_map(|index| self.0.endpoints.get(index)).collect()
    }

    /// Whose word counts when several have to say the same, or whom to give something to: those
    /// who should not be left alone, or one of them if all should.
    pub(crate) async fn witnesses(&self) -> Vec<&Arc<Endpoint>> {
        let standings = self.look_around().await;
        let mut order = order(&standings);
        if order.is_empty() {
            order.extend(last_resort(&standings));
        }
        order.into_iter().filter_map(|index| self.0.endpoints.get(index)).collect()
    }

    pub(crate) fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.0.endpoints
    }

    pub(crate) fn has_several(&self) -> bool {
        self.0.endpoints.len() > 1
    }

    pub(crate) fn fence(&self) -> MutexGuard<'_, Fence> {
        self.0.fence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a broadcast to its end, or to the node's.
    pub(crate) fn in_background(&self, broadcast: impl Future<Output = ()> + Send + 'static) {
        let mut broadcasts = self.0.broadcasts.lock().unwrap_or_else(PoisonError::into_inner);
        while broadcasts.try_join_next().is_some() {}
        broadcasts.spawn(broadcast);
    }

    /// How the endpoints stand. Those that are not asked anyway are looked at once in a block's
    /// time, behind the caller's back: how far they are, and whether they are well again. Only the
    /// first caller waits for that, so that nobody's word is taken before it is known who lags.
    async fn look_around(&self) -> Vec<Standing> {
        if self.has_several() {
            self.0.acquainted.get_or_init(|| self.get_acquainted()).await;
            self.look_at_others();
        }
        self.standings()
    }

    async fn get_acquainted(&self) {
        self.looks().began = Some(Instant::now());
        let mut looks = JoinSet::new();
        for endpoint in &self.0.endpoints {
            looks.spawn(look_at(Arc::clone(endpoint)));
        }
        looks.join_all().await;
    }

    fn look_at_others(&self) {
        let preferred = order(&self.standings()).first().copied();
        let mut looks = self.looks();
        while looks.running.try_join_next().is_some() {}
        let now = Instant::now();
        let lately = looks
            .began
            .is_some_and(|began| now.saturating_duration_since(began) < self.0.config.block_time);
        if lately || !looks.running.is_empty() {
            return;
        }
        looks.began = Some(now);
        for (index, endpoint) in self.0.endpoints.iter().enumerate() {
            if Some(index) != preferred && endpoint.may_be_looked_at() {
                looks.running.spawn(look_at(Arc::clone(endpoint)));
            }
        }
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.0.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standings(&self) -> Vec<Standing> {
        self.0.endpoints.iter().map(|endpoint| endpoint.standing()).collect()
    }
}

/// Asks an endpoint for its newest block; it notes the answer, or that there was none.
async fn look_at(endpoint: Arc<Endpoint>) {
    if let Err(error) = endpoint.head(endpoint.deadline()).await {
        tracing::debug!(%error, url_name = endpoint.name(), "a node does not tell its newest block");
    }
}
