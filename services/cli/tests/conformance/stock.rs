//! Stock servers and buyers, and what they have to say.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Anvil, Buyer};
use x402::{Version, v1_name};

use crate::packages::{PYTHON, VERSION_1, VERSION_2, beside_packages, checkout, installed};
use crate::pipeline::Pipeline;
use crate::program::Program;

/// Where the scripts are.
const NODE: &str = "services/cli/tests/conformance/node";

/// A cent, as every server asks for its thing.
pub(crate) const PRICE: u64 = 10_000;

/// A stock server that sells one thing.
pub(crate) struct Shop {
    program: Program,
    network: String,
    node: String,
    url: String,
    _folder: TempDir,
}

/// Who buys.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Client {
    /// `x402-fetch`.
    Version1,
    /// `@x402/fetch`.
    Version2,
    /// The same with a node, so that it can sign what lets Permit2 move its money.
    Sponsored,
    /// `x402` for Python.
    Python,
    /// The packages of version 2 in the hands of somebody who shows one payment again and again.
    Presenter,
}

/// What a buyer was answered.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Bought {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// What the answer's header says of the payment.
    pub(crate) payment: Value,
}

impl Shop {
    /// Opens one that settles through the pipeline and names its price in dollars.
    pub(crate) async fn open(version: Version, pipeline: &Pipeline) -> Self {
        Self::with_price(version, pipeline, json!("$0.01")).await
    }

    /// Opens one of version 2 whose price is in a token that no package knows on this network.
    pub(crate) async fn with_token(pipeline: &Pipeline) -> Self {
        let token = Anvil::token();
        let domain = json!({"name": token.name, "version": token.version});
        let price = json!({"amount": PRICE.to_string(), "asset": token.address, "extra": domain});
        Self::with_price(Version::V2, pipeline, price).await
    }

    /// Opens one of version 2 that wants to be paid by Permit2.
    pub(crate) async fn by_permit2(pipeline: &Pipeline) -> Self {
        let token = Anvil::token();
        let extra = json!({
            "name": token.name,
            "version": token.version,
            "assetTransferMethod": "permit2",
        });
        let price = json!({"amount": PRICE.to_string(), "asset": token.address, "extra": extra});
        Self::with_price(Version::V2, pipeline, price).await
    }

    /// Opens one of version 2 that wants to be paid up to its price, and takes this much.
    pub(crate) async fn up_to(pipeline: &Pipeline, taken: &str) -> Self {
        let token = Anvil::token();
        let domain = json!({"name": token.name, "version": token.version});
        let price = json!({"amount": PRICE.to_string(), "asset": token.address, "extra": domain});
        wait_for_signer(pipeline).await;
        let more = json!({"scheme": "upto", "taken": taken});
        Self::offering(more, Version::V2, pipeline, price).await
    }

    /// Opens one of version 2 that wants to be paid by Permit2, and says that buyers may sign a permit
    /// (`eip2612GasSponsoring`).
    pub(crate) async fn sponsored(pipeline: &Pipeline) -> Self {
        let token = Anvil::token();
        let extra = json!({
            "name": token.name,
            "version": token.version,
            "assetTransferMethod": "permit2",
        });
        let price = json!({"amount": PRICE.to_string(), "asset": token.address, "extra": extra});
        let more = json!({"scheme": "exact", "sponsored": true});
        Self::offering(more, Version::V2, pipeline, price).await
    }

    async fn with_price(version: Version, pipeline: &Pipeline, price: Value) -> Self {
        Self::offering(json!({"scheme": "exact"}), version, pipeline, price).await
    }

    async fn offering(more: Value, version: Version, pipeline: &Pipeline, price: Value) -> Self {
        let chain = pipeline.anvil.chain();
        let (packages, script, network) = match version {
            Version::V1 => (VERSION_1, "server-v1.mjs", v1_name(chain).unwrap().to_owned()),
            Version::V2 => (VERSION_2, "server.mjs", chain.to_string()),
        };
        let mut told = json!({
            "facilitator": pipeline.ingress().await,
            "key": pipeline.seller.key,
            "network": network,
            "price": price,
            "payTo": pipeline.pay_to,
            "taken": null,
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            told[name] = value.clone();
        }
        let folder = beside_packages(NODE, packages);
        let mut command = node(&folder.path().join(script));
        command.env("SHOP", told.to_string());
        let program = Program::start(command);
        let port = program.says(|line| member(line, "listening")).await;
        let url = format!("http://127.0.0.1:{port}/paid");
        let node = pipeline.anvil.url();
        Self { program, network, node, url, _folder: folder }
    }

    /// What the facilitator has answered so far on this path.
    pub(crate) fn answers(&self, path: &str) -> Vec<Value> {
        let lines = self.program.lines();
        lines.iter().filter_map(|line| answer(line, path)).collect()
    }

    /// Waits until the facilitator has given such an answer to a settlement.
    pub(crate) async fn settlement(&self, is_it: impl Fn(&Value) -> bool) -> Value {
        self.program.says(|line| answer(line, "/settle").filter(&is_it)).await
    }

    /// How often it has made what it sells.
    pub(crate) fn handled(&self) -> usize {
        self.program.lines().iter().filter(|line| member(line, "handled").is_some()).count()
    }

    /// Its network, as its version of x402 writes it.
    pub(crate) fn network(&self) -> &str {
        &self.network
    }

    /// Has somebody buy this often, all at once, and waits for all answers.
    pub(crate) async fn sell(&self, client: Client, to: &Buyer, purchases: usize) -> Vec<Bought> {
        let told = json!({
            "url": self.url,
            "key": to.key(),
            "network": self.network,
            "purchases": purchases,
            "node": matches!(client, Client::Sponsored).then_some(&self.node),
        });
        let node_beside = |script: &str, packages| {
            let folder = beside_packages(NODE, packages);
            (node(&folder.path().join(script)), Some(folder))
        };
        let (mut command, _folder) = match client {
            Client::Version1 => node_beside("buyer-v1.mjs", VERSION_1),
            Client::Version2 | Client::Sponsored => node_beside("buyer.mjs", VERSION_2),
            Client::Presenter => node_beside("presenter.mjs", VERSION_2),
            Client::Python => {
                let mut command = Command::new(installed(PYTHON).join("bin/python"));
                command.arg(checkout(PYTHON).join("buyer.py"));
                (command, None)
            }
        };
        command.env("BUY", told.to_string());
        let (status, lines) = Program::start(command).ends().await;
        assert!(status.success(), "{client:?} ended with {status}: {lines:?}");
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Waits until servers are told of a signer that payments can be bound to: they ask only once.
async fn wait_for_signer(pipeline: &Pipeline) {
    let (http, url) = (testkit::http::client(), format!("{}/supported", pipeline.ingress().await));
    testkit::eventually(Duration::from_secs(60), || async {
        let supported: Value = http.get(&url).send().await.ok()?.json().await.ok()?;
        supported["kinds"].as_array()?.iter().find(|kind| kind["scheme"] == "upto").map(drop)
    })
    .await;
}

fn node(script: &Path) -> Command {
    let mut command = Command::new("node");
    command.arg(script);
    command
}

fn member(line: &str, name: &str) -> Option<Value> {
    let mut line: Value = serde_json::from_str(line).ok()?;
    line.get_mut(name).map(Value::take)
}

fn answer(line: &str, path: &str) -> Option<Value> {
    (member(line, "asked")? == path).then(|| member(line, "answer"))?
}

impl Bought {
    /// The hash that the buyer was told.
    pub(crate) fn transaction(&self) -> String {
        self.payment["transaction"].as_str().unwrap_or_default().to_owned()
    }

    /// The payment's id, which travels in what stock packages pass on.
    pub(crate) fn payment_id(&self) -> &str {
        self.payment["extra"]["quittance"]["payment_id"].as_str().unwrap_or_default()
    }
}

/// Each of these was delivered and is paid, by the transaction that its buyer was told, and nothing
/// else was.
pub(crate) async fn assert_paid(pipeline: &Pipeline, shop: &Shop, by: &Buyer, bought: &[Bought]) {
    for one in bought {
        assert_eq!((one.status, &one.body), (200, &json!({"sold": true})), "{one:?}");
        assert_eq!(one.payment["success"], true, "{one:?}");
        assert_eq!(one.payment["network"], shop.network(), "{one:?}");
        let payer = one.payment["payer"].as_str().unwrap();
        assert_eq!(payer.to_lowercase(), format!("{:#x}", by.address()), "{one:?}");
    }
    let moved = pipeline.anvil.transfers_to(pipeline.pay_to).await;
    assert!(moved.iter().all(|moved| moved.amount == PRICE.into() && moved.from == by.address()));
    let mut moved: Vec<String> = moved.iter().map(|moved| moved.tx_hash.to_string()).collect();
    let mut told: Vec<String> = bought.iter().map(Bought::transaction).collect();
    moved.sort();
    told.sort();
    assert_eq!(told, moved, "the buyer was told other transactions than those that paid");
}
