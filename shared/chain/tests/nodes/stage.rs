//! Nodes that say what a test lets them say, and remember what they were asked.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chain::{BreakerPolicy, HttpClient, Node, NodeConfig};
use domain::{Address, B256, ChainId};
use secrecy::SecretString;
use serde_json::{Value, json};
use testkit::{Fate, FaultyNode};

/// How long a test waits for what must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Longer than any test: what is done so rarely does not happen in one.
pub(crate) const NEVER: Duration = Duration::from_secs(3_600);

pub(crate) const CHAIN: u64 = 84_532;

/// One node.
pub(crate) struct Actor {
    node: FaultyNode,
    role: Arc<Mutex<Role>>,
}

struct Role {
    chain: u64,
    head: u64,
    nonce: u64,
    /// What becomes of everything.
    fate: Option<Fate>,
    /// What becomes of a method.
    fates: HashMap<&'static str, Fate>,
    asked: Vec<String>,
}

impl Actor {
    /// A node at block 10, on the right chain, that gives everybody this nonce.
    pub(crate) async fn with_nonce(nonce: u64) -> Self {
        let role = Role {
            chain: CHAIN,
            head: 10,
            nonce,
            fate: None,
            fates: HashMap::new(),
            asked: Vec::new(),
        };
        let role = Arc::new(Mutex::new(role));
        let node = FaultyNode::before("http://127.0.0.1:1".to_owned()).await;
        let told = Arc::clone(&role);
        node.obey(move |method, params| told.lock().unwrap().answer(method, params));
        Self { node, role }
    }

    pub(crate) fn url(&self) -> String {
        self.node.url()
    }

    /// Whatever is asked comes to this.
    pub(crate) fn fails(&self, fate: Fate) {
        self.role().fate = Some(fate);
    }

    /// Whatever is asked in this way comes to this.
    pub(crate) fn answers(&self, method: &'static str, fate: Fate) {
        self.role().fates.insert(method, fate);
    }

    pub(crate) fn recovers(&self) {
        let mut role = self.role();
        role.fate = None;
        role.fates.clear();
    }

    pub(crate) fn is_at(&self, head: u64) {
        self.role().head = head;
    }

    pub(crate) fn is_on(&self, chain: u64) {
        self.role().chain = chain;
    }

    /// How often it was asked in this way.
    pub(crate) fn asked(&self, method: &str) -> usize {
        self.role().asked.iter().filter(|asked| *asked == method).count()
    }

    /// In which ways it was asked.
    pub(crate) fn methods(&self) -> Vec<String> {
        let mut methods = self.role().asked.clone();
        methods.sort_unstable();
        methods.dedup();
        methods
    }

    fn role(&self) -> MutexGuard<'_, Role> {
        self.role.lock().unwrap()
    }
}

impl Role {
    fn answer(&mut self, method: &str, params: &Value) -> Fate {
        self.asked.push(method.to_owned());
        if let Some(fate) = self.fate.as_ref().or_else(|| self.fates.get(method)) {
            return fate.clone();
        }
        Fate::Answered(match method {
            "eth_chainId" => hex(self.chain),
            "eth_getBlockByNumber" if params[0] == "latest" => block(self.head),
            "eth_getTransactionCount" => hex(self.nonce),
            "eth_sendRawTransaction" => json!(B256::repeat_byte(1)),
            "eth_getLogs" => json!([]),
            _ => Value::Null,
        })
    }
}

fn hex(number: u64) -> Value {
    json!(format!("{number:#x}"))
}

fn block(number: u64) -> Value {
    json!({
        "number": hex(number),
        "hash": B256::with_last_byte(u8::try_from(number).unwrap()),
        "parentHash": B256::ZERO,
        "timestamp": hex(number),
        "baseFeePerGas": "0x1",
    })
}

/// A receipt of a transaction that did nothing.
pub(crate) fn receipt(tx_hash: B256) -> Value {
    json!({
        "transactionHash": tx_hash,
        "blockNumber": "0xa",
        "blockHash": B256::with_last_byte(10),
        "status": "0x1",
        "gasUsed": "0x5208",
        "logs": [],
    })
}

/// How a network is to be reached, with nothing done in the background.
pub(crate) fn config(actors: &[&Actor]) -> NodeConfig {
    NodeConfig {
        chain: ChainId::new(CHAIN).unwrap(),
        urls: actors.iter().map(|actor| SecretString::from(actor.url())).collect(),
        timeout: Duration::from_secs(10),
        block_time: NEVER,
        breaker: BreakerPolicy { within: NEVER, rest: NEVER, ..BreakerPolicy::default() },
        multicall: Address::repeat_byte(0xca),
        signature_factories: HashSet::new(),
        log_lookback_blocks: 100,
        now: || i64::MAX,
    }
}

pub(crate) fn open(config: NodeConfig) -> Node {
    Node::new(&HttpClient::new(), config).unwrap()
}

pub(crate) fn network(actors: &[&Actor]) -> Node {
    open(config(actors))
}

/// A network that looks at every URL all the time, and rests from failing ones only so long.
pub(crate) fn watchful(actors: &[&Actor]) -> Node {
    let moment = Duration::from_millis(10);
    let breaker = BreakerPolicy { within: NEVER, rest: moment, ..BreakerPolicy::default() };
    open(NodeConfig { block_time: moment, breaker, ..config(actors) })
}

/// Somebody's nonce, which tells who answered.
pub(crate) async fn nonce(node: &Node) -> Result<u64, chain::ChainError> {
    node.nonce(Address::repeat_byte(1), None).await
}

/// Waits until the answer is the one of the actor with this nonce.
pub(crate) async fn answers_with(node: &Node, expected: u64) {
    testkit::eventually(DEADLINE, || async { (nonce(node).await.ok()? == expected).then_some(()) })
        .await;
}
