//! The sellers and the buyer of `docs/examples`, as they stand there.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Anvil, Buyer, eventually, http};

use crate::packages::{VERSION_2, beside_packages, checkout};
use crate::pipeline::{DEADLINE, Pipeline, ticking};
use crate::program::Program;
use crate::stock::PRICE;

const FOLDER: &str = "docs/examples";

/// What they sell.
const REPORT: &str = r#"{"report":"the weather will be fine"}"#;

/// The examples, compiled with the compiler that their lock file names.
fn built() -> TempDir {
    let folder = beside_packages(FOLDER, VERSION_2);
    let compiled = Command::new(folder.path().join("node_modules/.bin/tsc"))
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&compiled.stdout);
    assert!(compiled.status.success(), "the examples do not compile: {said}");
    folder
}

fn example(folder: &Path, script: &str, settings: &[(&str, String)]) -> Program {
    let mut command = Command::new("node");
    command.arg(folder.join("built").join(script)).current_dir(folder);
    command.envs(settings.iter().cloned());
    Program::start(command)
}

/// Has the example's buyer buy there.
fn buy(folder: &Path, url: &str, buyer: &Buyer) -> Program {
    let settings = [("BUY", url.to_owned()), ("BUYER_KEY", buyer.key())];
    example(folder, "buy.js", &settings)
}

/// A seller that runs, and where what it sells is.
struct Seller {
    _program: Program,
    url: String,
}

impl Seller {
    async fn open(folder: &Path, script: &str, settings: &[(&str, String)]) -> Self {
        let program = example(folder, script, settings);
        let for_sale = |line: &str| line.strip_suffix("/report is for sale").map(str::to_owned);
        let url = program.says(for_sale).await;
        Self { _program: program, url }
    }

    fn report(&self) -> String {
        format!("{}/report", self.url)
    }

    /// Where it takes webhooks.
    fn hook(&self) -> String {
        format!("{}/hook", self.url)
    }

    /// The status of its answer, and what it says.
    async fn get(&self, path: &str) -> (u16, String) {
        let answer = http::client().get(format!("{}{path}", self.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    fn port(&self) -> String {
        self.url.rsplit_once(':').unwrap().1.to_owned()
    }
}

impl Pipeline {
    /// What both sellers are told.
    async fn sellers_settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("QUITTANCE_URL", self.ingress().await),
            ("QUITTANCE_KEY", self.seller.key.clone()),
            ("PAY_TO", self.pay_to.to_string()),
            ("PORT", "0".to_owned()),
        ]
    }

    /// An endpoint that hears of every end, and its secret. It is at the seller's once that runs,
    /// which cannot be before it knows the secret.
    async fn endpoint(&self) -> (String, String) {
        let url = format!("{}/v1/webhook_endpoints", self.results().await);
        let (_, made) = self.post(&url, &json!({"url": self.receiver.url()})).await.unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (format!("{url}/{}", text("id")), text("secret"))
    }

    async fn move_endpoint(&self, endpoint: &str, to: &str) {
        let request = http::client().patch(endpoint).bearer_auth(&self.seller.key);
        let moved = request.json(&json!({"url": to})).send().await.unwrap();
        assert!(moved.status().is_success(), "{}", moved.text().await.unwrap());
    }

    /// Makes blocks until a payment is over.
    async fn mine_until_over(&self, payment: &str) -> Value {
        eventually(DEADLINE, || async {
            self.anvil.mine(1).await;
            let url = format!("{}/v1/payments/{payment}", self.results().await);
            let (_, known) = self.get(&url).await?;
            (known["terminal"] == true).then_some(known)
        })
        .await
    }
}

/// What stands between these two, everywhere in a text.
fn between<'a>(text: &'a str, before: &'a str, after: &'a str) -> BTreeSet<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).collect()
}

#[test]
fn the_page_names_every_script_and_every_variable() {
    let read = |name| std::fs::read_to_string(checkout(FOLDER).join(name)).unwrap();
    let page = read("README.md");
    let package: Value = serde_json::from_str(&read("package.json")).unwrap();
    let scripts = package["scripts"].as_object().unwrap().keys().map(String::as_str);
    let named: BTreeSet<&str> = between(&page, "`npm run ", "`");
    assert_eq!(named, scripts.filter(|script| *script != "build").collect());

    let sources = ["release-on-settle.ts", "release-on-webhook.ts", "buy.ts"].map(read).concat();
    let mut rows = between(&page, "\n| `", "` | ");
    rows.retain(|name| !name.starts_with("npm "));
    assert_eq!(rows, between(&sources, "setting(\"", "\""));
}

#[tokio::test]
async fn a_seller_that_releases_on_settle_delivers_what_is_paid() {
    let pipeline = Pipeline::on(ticking(), 1, Vec::new()).await;
    let folder = built();
    let settings = pipeline.sellers_settings().await;
    let seller = Seller::open(folder.path(), "release-on-settle.js", &settings).await;
    let buyer = pipeline.buyer(PRICE).await;

    let (status, said) = buy(folder.path(), &seller.report(), &buyer).ends().await;

    assert!(status.success(), "{said:?}");
    assert_eq!(said[0], format!("200 from {}", seller.report()));
    let paid: Value = serde_json::from_str(said[1].strip_prefix("paid by ").unwrap()).unwrap();
    let moved = pipeline.anvil.transfers_to(pipeline.pay_to).await;
    assert_eq!((moved.len(), &paid["transaction"]), (1, &json!(moved[0].tx_hash)));
    assert_eq!(said[2], REPORT);
}

#[tokio::test]
async fn a_seller_that_releases_on_the_webhook_answers_at_once_and_keeps_its_orders_when_killed() {
    let pipeline = Pipeline::on(Anvil::builder().mined_by_hand(), 1, Vec::new()).await;
    let folder = built();
    let (endpoint, secret) = pipeline.endpoint().await;
    let mut settings = pipeline.sellers_settings().await;
    settings.push(("WEBHOOK_SECRET", secret));
    let open =
        async |settings: &[_]| Seller::open(folder.path(), "release-on-webhook.js", settings).await;
    let seller = open(&settings).await;
    pipeline.move_endpoint(&endpoint, &seller.hook()).await;
    let buyer = pipeline.buyer(PRICE).await;

    // No block is made, so nothing is settled; and yet the buyer has its order.
    let buying = buy(folder.path(), &seller.report(), &buyer);
    let order = buying.says(|line| line.strip_prefix("waiting for ").map(str::to_owned)).await;
    assert_eq!(buying.lines()[0], format!("202 from {}", seller.report()));
    let payment = order.strip_prefix("/orders/").unwrap();
    let forged = json!({"type": "payment.settled", "data": {"id": payment}});
    let forged = http::client().post(seller.hook()).json(&forged).send().await.unwrap();
    assert_eq!((forged.status().as_u16(), seller.get(&order).await.0), (400, 202));

    // At the same port, where its endpoint and its buyer look for it.
    settings.push(("PORT", seller.port()));
    drop(seller);
    let seller = open(&settings).await;
    assert_eq!(seller.get(&order).await.0, 202);
    let known = pipeline.mine_until_over(payment).await;
    assert_eq!(known["status"], "settled");
    let (status, said) = buying.ends().await;
    assert!(status.success(), "{said:?}");
    assert_eq!(said.last().unwrap(), REPORT);

    drop(seller);
    let seller = open(&settings).await;
    assert_eq!(seller.get(&order).await, (200, REPORT.to_owned()));
}

#[tokio::test]
async fn a_seller_that_releases_on_the_webhook_releases_nothing_that_was_not_paid_for_it() {
    let pipeline = Pipeline::on(ticking(), 1, Vec::new()).await;
    let folder = built();
    let (endpoint, secret) = pipeline.endpoint().await;
    let mut settings = pipeline.sellers_settings().await;
    settings.push(("WEBHOOK_SECRET", secret));
    let seller = Seller::open(folder.path(), "release-on-webhook.js", &settings).await;
    pipeline.move_endpoint(&endpoint, &seller.hook()).await;

    let poor = buy(folder.path(), &seller.report(), &pipeline.buyer(PRICE - 1).await);
    // The same account sells something cheaper elsewhere, of which this seller is told as well.
    let cheap = pipeline.sign(&pipeline.buyer(1).await, 1);
    let cheap = pipeline.pay(&cheap.body(x402::Version::V2)).await;

    let (status, said) = poor.ends().await;
    assert_eq!(
        (status.code(), said.last().unwrap().as_str()),
        (Some(1), r#"{"error":"this order was not paid"}"#)
    );
    pipeline.wait_until_over(std::slice::from_ref(&cheap)).await;
    assert_eq!(seller.get(&format!("/orders/{cheap}")).await.0, 404);
    let (status, challenge) = seller.get("/report").await;
    assert_eq!(status, 402, "{challenge}");
}
