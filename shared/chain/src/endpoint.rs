//! One URL of a network: its connection, its breaker, and what is known of its node.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alloy::rpc::client::RpcClient;
use alloy::rpc::json_rpc::{RpcRecv, RpcSend};
use alloy_primitives::U64;
use domain::ChainId;
use reqwest::Url;
use tokio::time::Instant as Deadline;

use crate::blame::Blame;
use crate::breaker::Breaker;
use crate::fence::{Fence, check_time};
use crate::head::RawHead;
use crate::meters::Meters;
use crate::node::{HttpClient, NodeConfig};
use crate::order::Standing;
use crate::transport::Transport;
use crate::{BlockTag, ChainError, Head};

/// One URL of a network.
#[derive(Debug)]
pub(crate) struct Endpoint {
    client: RpcClient,
    chain: ChainId,
    /// How long one call may take, whatever it has to find out before.
    limit: Duration,
    now: fn() -> i64,
    meters: Meters,
    /// What all URLs of the network have told of.
    fence: Arc<Mutex<Fence>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    breaker: Breaker,
    network: OnNetwork,
    /// The height of the block that it last called its newest.
    head: Option<u64>,
}

/// Whether the node is on the network that it is configured for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnNetwork {
    /// To be asked before anything else is: at first, and after it was away.
    Unknown,
    Right,
    Wrong,
}

impl Endpoint {
    pub(crate) fn new(
        http: &HttpClient,
        (url, name): (Url, String),
        config: &NodeConfig,
        fence: Arc<Mutex<Fence>>,
    ) -> Self {
        let breaker = Breaker::new(config.breaker);
        let meters = Meters::new(config.chain.to_string(), name);
        meters.breaker(breaker.level());
        Self {
            client: RpcClient::new(Transport::new(http.client(), url), false),
            chain: config.chain,
            limit: config.timeout,
            now: config.now,
            meters,
            fence,
            state: Mutex::new(State { breaker, network: OnNetwork::Unknown, head: None }),
        }
    }

    /// Its host, as everybody may know it.
    pub(crate) fn name(&self) -> &str {
        self.meters.url_name()
    }

    pub(crate) fn standing(&self) -> Standing {
        let state = self.state();
        Standing { opened: state.breaker.opened(), head: state.head }
    }

    /// Whether it is to be looked at in the background: its breaker is closed, or the caller may
    /// probe it.
    pub(crate) fn may_be_looked_at(&self) -> bool {
        let mut state = self.state();
        let may = state.breaker.opened().is_none() || state.breaker.try_probe(Instant::now());
        self.meters.breaker(state.breaker.level());
        may
    }

    /// When a call that begins now has taken too long.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::now() + self.limit
    }

    /// Asks for one thing, once it is known that the node is on its network.
    pub(crate) async fn ask<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
        deadline: Deadline,
    ) -> Result<R, ChainError> {
        if self.state().network != OnNetwork::Right {
            // An answer to this alone does not show that the node is well.
            self.verify(deadline).await.inspect_err(|error| self.note_error(error))?;
        }
        let answer = self.request(method, params, deadline).await;
        match &answer {
            Ok(_) => self.note_answer(),
            Err(error) => self.note_error(error),
        }
        answer
    }

    /// The node's newest block.
    pub(crate) async fn head(&self, deadline: Deadline) -> Result<Head, ChainError> {
        let latest = (BlockTag::Latest.param(), false);
        let raw: Option<RawHead> = self.ask("eth_getBlockByNumber", latest, deadline).await?;
        let Some(raw) = raw else {
            let error = ChainError::Unreadable("no newest block".to_owned());
            self.note_error(&error);
            return Err(error);
        };
        let head = Head::from(raw);
        check_time(head.timestamp, (self.now)()).inspect_err(|error| self.note_error(error))?;
        self.state().head = Some(head.number);
        self.fence.lock().unwrap_or_else(PoisonError::into_inner).hear(&head, Instant::now());
        Ok(head)
    }

    /// Asks on which network the node is, and notes whether that is the right one.
    ///
    /// # Errors
    /// [`ChainError::WrongNetwork`] when it is not: then nothing else is asked of it until it is.
    pub(crate) async fn verify(&self, deadline: Deadline) -> Result<(), ChainError> {
        let id: U64 = self.request("eth_chainId", (), deadline).await?;
        let found = id.to::<u64>();
        let mut state = self.state();
        if found == self.chain.get() {
            state.network = OnNetwork::Right;
            return Ok(());
        }
        if state.network != OnNetwork::Wrong {
            let (network, url_name) = (self.chain, self.name());
            tracing::error!(%network, url_name, found, "a node is on another network: it is not used");
        }
        state.network = OnNetwork::Wrong;
        state.breaker.trip(Instant::now());
        self.meters.breaker(state.breaker.level());
        Err(ChainError::WrongNetwork { found })
    }

    async fn request<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
        deadline: Deadline,
    ) -> Result<R, ChainError> {
        let began = Instant::now();
        let answer = tokio::time::timeout_at(deadline, self.client.request(method, params)).await;
        let answer = match answer {
            Err(_) => Err(ChainError::TimedOut { limit: self.limit }),
            Ok(answer) => answer.map_err(ChainError::from),
        };
        self.meters.request(method, began.elapsed(), answer.is_err());
        answer
    }

    fn note_answer(&self) {
        let mut state = self.state();
        if state.breaker.opened().is_some() {
            tracing::info!(network = %self.chain, url_name = self.name(), "a node is used again");
        }
        state.breaker.succeeded();
        self.meters.breaker(state.breaker.level());
    }

    fn note_error(&self, error: &ChainError) {
        match error.blame() {
            Blame::Request => return self.note_answer(),
            Blame::Call => return,
            Blame::Endpoint => {}
        }
        let mut state = self.state();
        let was_closed = state.breaker.opened().is_none();
        state.breaker.failed(Instant::now());
        if was_closed && state.breaker.opened().is_some() {
            let (network, url_name) = (self.chain, self.name());
            tracing::warn!(%error, %network, url_name, "a node keeps failing: others are asked");
        }
        // Whatever answers at this address next may be another node.
        state.head = None;
        if state.network == OnNetwork::Right {
            state.network = OnNetwork::Unknown;
        }
        self.meters.breaker(state.breaker.level());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
