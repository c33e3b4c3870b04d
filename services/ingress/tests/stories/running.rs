//! The payment API as a process runs it.

use std::net::TcpListener;
use std::time::Duration;

use domain::{ChainId, Payment, PaymentState, Scope};
use ingress::Settings;
use queue::{Queue, QueueConfig};
use runtime::{Clock, Config};
use serde_json::Value;
use store::PaymentFilter;
use testkit::{Anvil, Buyer, Database, eventually};
use tokio_util::sync::CancellationToken;
use x402::Version;

use crate::shop::new_seller;

/// How long the API may take to open its port, and to end.
const SOON: Duration = Duration::from_secs(20);

/// The configuration of a process with these networks.
fn config(database_url: &str, port: u16, networks: &str) -> Config {
    let file = format!("[ingress]\nlisten = \"127.0.0.1:{port}\"\n{networks}");
    let environment = [("DATABASE_URL", database_url), ("REDIS_URL", "redis://127.0.0.1:1")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let no_files = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    Config::from_sources(&file, &environment, &no_files).unwrap()
}

/// A network of which nothing else is said.
fn network(chain_id: u64, more: &str) -> String {
    format!("[[networks]]\nchain_id = {chain_id}\nrpc_urls = [\"http://127.0.0.1:1\"]\n{more}\n")
}

#[tokio::test]
async fn the_api_serves_until_it_is_told_to_stop() {
    let database = Database::create().await;
    let seller = new_seller(&database.store, &[Scope::PaymentsWrite]).await;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // The token that buyers pay in is the one that is built in for this chain.
    let config = config(&database.url, port, &network(Anvil::CHAIN.get(), ""));
    let queue = Queue::connect(QueueConfig::new("redis://127.0.0.1:1".to_owned())).unwrap();
    let shutdown = CancellationToken::new();
    let (stop, store) = (shutdown.clone(), database.store.clone());
    let running = tokio::spawn(async move {
        ingress::run(&config, store, &queue, (Vec::new(), Clock::system()), stop).await
    });

    let body = Buyer::new().authorize().sign().body(Version::V2).to_string();
    let (http, url) = (testkit::http::client(), format!("http://127.0.0.1:{port}/v1/payments"));
    let answer: Value = eventually(SOON, || async {
        let request = http.post(&url).header("content-type", "application/json");
        let request = request.bearer_auth(seller.token.reveal()).body(body.clone());
        request.send().await.ok()?.json().await.ok()
    })
    .await;
    assert_eq!(answer["status"], "accepted");

    shutdown.cancel();
    tokio::time::timeout(SOON, running).await.unwrap().unwrap().unwrap();
    assert!(http.post(&url).send().await.is_err(), "the port is closed");
}

#[test]
fn version_1_calls_networks_as_the_protocol_does_or_as_they_are_named() {
    let token = "name = \"local\"\n[[networks.assets]]\naddress = \"0x1111111111111111111111111111111111111111\"\n\
                 name = \"Other\"\nversion = \"1\"\ndecimals = 6\nsymbol = \"OTHER\"";
    let networks = network(8_453, "") + &network(31_337, token);
    let settings = Settings::from_config(&config("postgres://db/q", 0, &networks)).unwrap();
    let name = |id| settings.assets.v1_name(ChainId::new(id).unwrap()).map(str::to_owned);
    assert_eq!([8_453, 31_337].map(name), [Some("base".to_owned()), Some("local".to_owned())]);
}

#[test]
fn a_network_cannot_have_the_name_of_another() {
    let networks = network(84_532, "name = \"base\"");
    let refused = Settings::from_config(&config("postgres://db/q", 0, &networks)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "network eip155:84532: name: version 1 of x402 calls eip155:8453 \"base\""
    );
}

#[tokio::test]
async fn what_is_settled_when_the_api_is_told_to_stop_comes_to_its_end_whether_its_caller_waits_or_not()
 {
    let database = Database::create().await;
    let seller = new_seller(&database.store, &[Scope::PaymentsWrite]).await;
    for is_waited_for in [true, false] {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let networks = format!("[facilitator]\nwait_secs = 3\n{}", network(Anvil::CHAIN.get(), ""));
        let config = config(&database.url, port, &networks);
        let queue = Queue::connect(QueueConfig::new("redis://127.0.0.1:1".to_owned())).unwrap();
        let shutdown = CancellationToken::new();
        let (stop, store) = (shutdown.clone(), database.store.clone());
        let running = tokio::spawn(async move {
            ingress::run(&config, store, &queue, (Vec::new(), Clock::system()), stop).await
        });
        let http = testkit::http::client();
        let url = format!("http://127.0.0.1:{port}");
        eventually(SOON, || async { http.get(format!("{url}/supported")).send().await.ok() }).await;
        let request = http.post(format!("{url}/settle")).bearer_auth(seller.token.reveal());
        let request = request.json(&Buyer::new().authorize().sign().body(Version::V2));
        let asking = tokio::spawn(async move { request.send().await?.json::<Value>().await });
        let newest = || async {
            let all = PaymentFilter::default();
            database.store.list_payments(seller.account, &all, 1).await.unwrap().pop()
        };
        let is_underway = |payment: &Payment| !payment.state.is_terminal();
        eventually(SOON, || async { newest().await.filter(is_underway) }).await;

        if !is_waited_for {
            asking.abort();
        }
        shutdown.cancel();
        tokio::time::timeout(SOON, running).await.unwrap().unwrap().unwrap();

        assert_eq!(newest().await.unwrap().state, PaymentState::Canceled);
        if is_waited_for {
            let told = asking.await.unwrap().unwrap();
            assert_eq!(told["extra"]["quittance"]["status"], "canceled", "{told}");
        }
    }
}
