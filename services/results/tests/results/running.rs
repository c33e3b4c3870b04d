//! The status API as a process runs it.

use std::net::TcpListener;
use std::time::Duration;

use queue::{Queue, QueueConfig};
use runtime::{Clock, Config};
use testkit::{Buyer, Database, Seller, eventually};
use tokio_util::sync::CancellationToken;

/// How long the API may take to open its port.
const SOON: Duration = Duration::from_secs(20);

const NO_REDIS: &str = "redis://127.0.0.1:1";

fn config(database: &Database, port: u16) -> Config {
    let file = format!("[results]\nlisten = \"127.0.0.1:{port}\"");
    let environment = [("DATABASE_URL", database.url.as_str()), ("REDIS_URL", NO_REDIS)];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let no_files = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    Config::from_sources(&file, &environment, &no_files).unwrap()
}

#[tokio::test]
async fn the_api_serves_until_it_is_told_to_stop() {
    let database = Database::create().await;
    let (store, seller) = (database.store.clone(), Seller::create(&database.store).await);
    let payment = seller.accept(&store, &Buyer::new().authorize().sign()).await;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = config(&database, port);
    let queue = Queue::connect(QueueConfig::new(NO_REDIS.to_owned())).unwrap();
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let running =
        tokio::spawn(
            async move { results::run(&config, store, &queue, Clock::system(), stop).await },
        );

    let url = format!("http://127.0.0.1:{port}/v1/payments/{}", payment.id);
    let http = testkit::http::client();
    let ask = || async { http.get(&url).bearer_auth(&seller.key).send().await.ok() };
    assert_eq!(eventually(SOON, ask).await.status(), 200);

    shutdown.cancel();
    running.await.unwrap().unwrap();
    assert!(ask().await.is_none());
}
