//! A development chain of its own for a test.

mod control;
mod permit2;
mod rpc;
mod token;
mod wallet;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use domain::{Address, ChainId};
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

pub use self::rpc::RpcError;
pub use self::token::MovedMoney;
pub use self::wallet::WalletBehaviour;
use crate::eventually;
use crate::process::{Process, program};

/// Names the program; without it, the one that `compose/local` installed is used.
const PROGRAM: &str = "ANVIL_BIN";

/// The version that `compose/local` installs.
const VERSION: &str = "1.7.1";

/// How long anvil may take to start, or to read a chain again.
const START: Duration = Duration::from_secs(30);

/// Enough for a batch of hundreds of transfers in a block.
const BLOCK_GAS_LIMIT: u64 = 300_000_000;

/// What stands on every chain.
const CONTRACTS: [(Address, &str); 5] = [
    (Anvil::TOKEN, include_str!("../../../contracts/artifacts/TestUsdc.json")),
    (Anvil::MULTICALL, include_str!("../../../contracts/artifacts/Multicall3.json")),
    (domain::PERMIT2, include_str!("../../../contracts/artifacts/TestPermit2.json")),
    (Anvil::EXACT_PROXY, include_str!("../../../contracts/artifacts/TestExactPermit2Proxy.json")),
    (Anvil::UPTO_PROXY, include_str!("../../../contracts/artifacts/TestUptoPermit2Proxy.json")),
];

/// A private anvil with the test USDC, Multicall3, Permit2 and x402's proxies for it. It ends with this value.
///
/// The chain is [`Anvil::CHAIN`] (Base Sepolia's id, so that version 1 of x402 has a name for it)
/// unless the test wants another, the token stands at [`Anvil::TOKEN`], and anybody may mint it.
#[derive(Debug)]
pub struct Anvil {
    folder: TempDir,
    options: AnvilBuilder,
    process: Option<Process>,
    port: u16,
    http: reqwest::Client,
}

/// How a chain is to be.
#[derive(Clone, Debug)]
pub struct AnvilBuilder {
    chain: ChainId,
    mining: Mining,
}

impl Default for AnvilBuilder {
    fn default() -> Self {
        Self { chain: Anvil::CHAIN, mining: Mining::default() }
    }
}

/// When blocks are made.
#[derive(Clone, Copy, Debug, Default)]
enum Mining {
    /// One for each transaction, at once.
    #[default]
    EachTransaction,
    /// One in each interval of whole seconds.
    Every(u64),
    /// Only when the test says so.
    ByHand,
}

impl AnvilBuilder {
    /// Has another id than [`Anvil::CHAIN`].
    #[must_use]
    pub fn chain(mut self, chain: ChainId) -> Self {
        self.chain = chain;
        self
    }

    /// Makes a block every so often, empty ones too; in whole seconds, at least one. `None` makes
    /// one for each transaction, at once.
    #[must_use]
    pub fn block_time(mut self, interval: Option<Duration>) -> Self {
        self.mining = match interval {
            Some(interval) => Mining::Every(interval.as_secs().max(1)),
            None => Mining::EachTransaction,
        };
        self
    }

    /// Makes a block only when the test asks for one by [`Anvil::mine`].
    #[must_use]
    pub fn mined_by_hand(mut self) -> Self {
        self.mining = Mining::ByHand;
        self
    }

    /// Starts the chain, and waits until it answers.
    ///
    /// # Panics
    /// When there is no anvil.
    pub async fn start(self) -> Anvil {
        let mut anvil = Anvil {
            folder: TempDir::new().unwrap(),
            options: self,
            process: None,
            port: 0,
            http: crate::http::client(),
        };
        anvil.launch().await;
        anvil.install().await;
        anvil
    }
}

impl Anvil {
    /// Base Sepolia's id.
    pub const CHAIN: ChainId = match ChainId::new(84_532) {
        Some(chain) => chain,
        None => panic!("not an id"),
    };

    /// Where the test USDC stands: at Base Sepolia's USDC's address.
    pub const TOKEN: Address =
        alloy::primitives::address!("0x036CbD53842c5426634e7929541eC2318f3dCF7e");

    /// Where Multicall3 stands, as on every public chain.
    pub const MULTICALL: Address =
        alloy::primitives::address!("0xcA11bde05977b3631167028862bE2a173976CA11");

    /// Where x402's proxy for Permit2 stands, as on the public chains that have it.
    pub const EXACT_PROXY: Address =
        alloy::primitives::address!("0x402085c248EeA27D92E8b30b2C58ed07f9E20001");

    /// Where x402's proxy for Permit2 up to an amount stands, as on the public chains that have it.
    pub const UPTO_PROXY: Address =
        alloy::primitives::address!("0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002");

    /// What deploys contracts for anybody: it is called with a salt and what deploys one, as on
    /// nearly every public chain.
    pub const FACTORY: Address =
        alloy::primitives::address!("0x4e59b44847b379578588920cA78FbF26c0B4956C");

    /// A chain that makes a block for each transaction.
    ///
    /// # Panics
    /// When there is no anvil.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// A chain that can be told how to be.
    pub fn builder() -> AnvilBuilder {
        AnvilBuilder::default()
    }

    /// The test USDC as an operator would list it.
    pub fn token() -> x402::Asset {
        x402::Asset {
            chain: Self::CHAIN,
            address: Self::TOKEN,
            name: "USDC".to_owned(),
            version: "2".to_owned(),
            methods: x402::Methods {
                eip3009: true,
                permit2: Some(Self::EXACT_PROXY),
                upto: Some(Self::UPTO_PROXY),
                permits: true,
            },
        }
    }

    /// The network as it stands in a settings file: behind this URL, with these lines of the
    /// `[[networks]]` table besides.
    pub fn settings(url: &str, more: &str) -> String {
        Self::settings_on(Self::CHAIN, url, more)
    }

    /// The same for a chain of this id.
    pub fn settings_on(chain: ChainId, url: &str, more: &str) -> String {
        format!(
            r#"
            [[networks]]
            chain_id = {chain}
            rpc_urls = ["{url}"]
            {more}
            [[networks.assets]]
            address = "{token}"
            name = "USDC"
            version = "2"
            transfer_methods = ["eip3009", "permit2", "upto"]
            gas_sponsoring = ["eip2612"]
            decimals = 6
            symbol = "USDC"
            "#,
            chain = chain.get(),
            token = Self::TOKEN,
        )
    }

    /// Its id.
    pub fn chain(&self) -> ChainId {
        self.options.chain
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The id of its process, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Ends it, and keeps the chain for [`Anvil::start_again`]; what waited in the mempool is lost.
    ///
    /// # Panics
    /// When it was ended before.
    pub async fn kill(&mut self) {
        let process = self.process.take().expect("the test has not killed the chain before");
        // A frozen process would take the signal only later.
        process.signal(Signal::SIGCONT);
        process.end(Signal::SIGINT).await;
    }

    /// Starts it at the same address with the chain it had; nothing if it runs.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_again(&mut self) {
        if self.process.is_none() {
            self.launch().await;
            self.allow_sending().await;
        }
    }

    /// Stops it from answering, with its connections open: as a provider that hangs.
    pub fn freeze(&self) {
        self.running().signal(Signal::SIGSTOP);
    }

    /// Lets a frozen chain go on.
    pub fn thaw(&self) {
        self.running().signal(Signal::SIGCONT);
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("the test has not killed the chain before")
    }

    async fn launch(&mut self) {
        let log = self.folder.path().join("log");
        let mut process = Process::spawn(self.command(), &log);
        self.port = eventually(START, || {
            let said = std::fs::read_to_string(&log).unwrap();
            assert!(!process.has_ended(), "anvil ended by itself: {said}");
            std::future::ready(listening_port(&said))
        })
        .await;
        self.process = Some(process);
    }

    fn command(&self) -> Command {
        let mut command = Command::new(anvil_program());
        command.args(["--port", &self.port.to_string(), "--chain-id"]);
        command.arg(self.options.chain.get().to_string());
        command.args(["--gas-limit", &BLOCK_GAS_LIMIT.to_string()]);
        command.args(["--preserve-historical-states", "--state"]);
        command.arg(self.folder.path().join("chain.json"));
        match self.options.mining {
            Mining::EachTransaction => {}
            Mining::Every(seconds) => {
                command.args(["--block-time", &seconds.to_string()]);
            }
            Mining::ByHand => {
                command.arg("--no-mining");
            }
        }
        // It keeps caches in the home folder.
        command.env("HOME", self.folder.path());
        command
    }

    /// Puts the contracts at their addresses, with a block above that, so that no reorganisation
    /// of a test takes them away.
    async fn install(&self) {
        self.install_contracts().await;
        self.allow_sending().await;
        self.mine(1).await;
    }

    /// Puts the contracts where their code is not; what they have stored stays.
    async fn install_contracts(&self) {
        for (address, artefact) in CONTRACTS {
            if self.rpc("eth_getCode", json!([address, "latest"])).await == json!("0x") {
                let artefact: serde_json::Value = serde_json::from_str(artefact).unwrap();
                self.rpc("anvil_setCode", json!([address, artefact["runtimeBytecode"]])).await;
            }
        }
    }
}

/// The port in `Listening on 127.0.0.1:<port>`, once the whole line is there.
fn listening_port(said: &str) -> Option<u16> {
    let (_, rest) = said.split_once("Listening on ")?;
    let (address, _) = rest.split_once('\n')?;
    address.rsplit_once(':')?.1.trim().parse().ok()
}

fn anvil_program() -> PathBuf {
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let installed = format!(
        ".local/tools/anvil-{VERSION}/node_modules/@foundry-rs/anvil-linux-{machine}/bin/anvil"
    );
    program(PROGRAM, &[installed]).unwrap_or_else(|| {
        panic!(
            "there is no anvil: run the tests with `make test`, run `compose/local up` once, \
             or name one by {PROGRAM}"
        )
    })
}

#[cfg(test)]
mod tests;
