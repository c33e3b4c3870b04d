//! A ledger, a queue, a clock that stands still, endpoints and notifiers.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use domain::{AccountId, DeliveryId, EndpointId, EndpointTerms, EventType, Timestamp};
use queue::{Job, Queue, QueueConfig, Stream};
use runtime::{Clock, ClockHand, Config};
use store::{
    DeliveryFilter, DeliveryListing, EndpointUpdate, LoggedAttempt, NewEndpoint, NewSecret,
    Rotation, Store,
};
use testkit::{Buyer, Database, RedisServer, Seller, eventually};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long anything may take that happens at once on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Slots enough for nothing to wait for one.
pub(crate) const ROOMY: Settings =
    Settings { concurrency: 64, timeout_ms: 15_000, allow_private_targets: true };

/// What a notifier is told.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) concurrency: usize,
    pub(crate) timeout_ms: u64,
    pub(crate) allow_private_targets: bool,
}

impl Settings {
    pub(crate) fn config(self, database: &Database) -> Config {
        let Self { concurrency, timeout_ms, allow_private_targets } = self;
        let text = format!(
            "[notifier]\nconcurrency = {concurrency}\ntimeout_ms = {timeout_ms}\n\
             allow_private_targets = {allow_private_targets}\n"
        );
        let environment = [
            ("DATABASE_URL".to_owned(), database.url.clone()),
            ("REDIS_URL".to_owned(), "redis://queue.example".to_owned()),
        ];
        let read_file = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        Config::from_sources(&text, &environment, &read_file).unwrap()
    }
}

pub(crate) struct Scene {
    pub(crate) database: Database,
    pub(crate) redis: RedisServer,
    pub(crate) queue: Queue,
    pub(crate) clock: Clock,
    pub(crate) hand: ClockHand,
    pub(crate) seller: Seller,
}

/// What deliveries are signed with.
pub(crate) struct Secret([u8; 32]);

impl Secret {
    pub(crate) fn random() -> Self {
        Self(runtime::random_bytes())
    }

    /// As sellers are told it.
    pub(crate) fn text(&self) -> String {
        format!("whsec_{}", BASE64_STANDARD.encode(self.0))
    }
}

/// An endpoint, and the secret that it was made with.
pub(crate) struct Endpoint {
    pub(crate) id: EndpointId,
    pub(crate) secret: String,
    account: AccountId,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let (database, redis) = tokio::join!(Database::create(), RedisServer::start());
        let queue = Queue::connect(QueueConfig::new(redis.url())).unwrap();
        // Now, because the reference library refuses signatures of another time.
        let (clock, hand) = Clock::manual(Clock::system().now_unix_ms());
        let seller = Seller::create(&database.store).await;
        Self { database, redis, queue, clock, hand, seller }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.database.store
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.clock.now_unix_ms())
    }

    /// An endpoint of a seller, which hears of every accepted payment.
    pub(crate) async fn endpoint(&self, seller: &Seller, url: String) -> Endpoint {
        self.endpoint_with(&Secret::random(), seller, url).await
    }

    /// The same, with this secret.
    pub(crate) async fn endpoint_with(
        &self,
        secret: &Secret,
        seller: &Seller,
        url: String,
    ) -> Endpoint {
        let new = NewEndpoint {
            id: EndpointId::new(Uuid::now_v7()),
            account: seller.account,
            url,
            event_types: vec![EventType::Accepted],
            secret: secret.0.to_vec(),
            terms: EndpointTerms::default(),
        };
        assert!(self.store().create_endpoint(&new, 20, self.now()).await.unwrap());
        Endpoint { id: new.id, secret: secret.text(), account: seller.account }
    }

    /// Changes the URL of an endpoint, a moment after whatever happened before.
    pub(crate) async fn move_to(&self, endpoint: &Endpoint, url: String) {
        self.hand.advance(Duration::from_millis(1));
        let update = EndpointUpdate { url: Some(url), ..EndpointUpdate::default() };
        let Endpoint { id, account, .. } = *endpoint;
        let moved = self.store().update_endpoint(account, id, &update, self.now()).await.unwrap();
        assert!(moved.is_some());
    }

    /// Gives an endpoint a new secret; the earlier one signs as well for so long.
    pub(crate) async fn rotate(&self, endpoint: &Endpoint, secret: &Secret, overlap: Duration) {
        let overlap_ms = i64::try_from(overlap.as_millis()).unwrap();
        let old_until = Timestamp::from_unix_ms(self.clock.now_unix_ms() + overlap_ms);
        let new = NewSecret { secret: secret.0.to_vec(), old_until: Some(old_until) };
        let Endpoint { id, account, .. } = *endpoint;
        let rotation = self.store().rotate_secret(account, id, &new, self.now()).await.unwrap();
        assert_eq!(rotation, Rotation::Done);
    }

    /// Accepts payments of a seller: as many events for each endpoint of it.
    pub(crate) async fn accept(&self, seller: &Seller, count: usize) {
        for _ in 0..count {
            let mut intake = seller.intake(&Buyer::new().authorize().sign());
            intake.accepted_at = self.now();
            intake.reference = Some("Bestellung Nº 4711 · 価格".to_owned());
            seller.accept_intake(self.store(), intake).await;
        }
    }

    /// What is or was on its way to an endpoint, oldest first.
    pub(crate) async fn deliveries(&self, endpoint: &Endpoint) -> Vec<DeliveryListing> {
        let Endpoint { id, account, .. } = *endpoint;
        let filter = DeliveryFilter { account, endpoint: id, before: None };
        let mut rows = self.store().list_deliveries(&filter, 1_000).await.unwrap();
        rows.reverse();
        rows
    }

    /// The only delivery of an endpoint.
    pub(crate) async fn delivery(&self, endpoint: &Endpoint) -> DeliveryListing {
        let mut rows = self.deliveries(endpoint).await;
        assert_eq!(rows.len(), 1);
        rows.remove(0)
    }

    /// The log of the only delivery of an endpoint.
    pub(crate) async fn attempts(&self, endpoint: &Endpoint) -> Vec<LoggedAttempt> {
        let delivery = self.delivery(endpoint).await.id;
        self.store().list_attempts(endpoint.account, delivery).await.unwrap().unwrap()
    }

    /// Rings for these deliveries.
    pub(crate) async fn ring_for(&self, deliveries: &[DeliveryId]) {
        let jobs: Vec<Job> = deliveries.iter().map(|id| Job::new(id.to_string())).collect();
        self.queue.push(&Stream::Notify, &jobs).await.unwrap();
    }

    /// Rings for everything that ever was on its way to an endpoint.
    pub(crate) async fn ring(&self, endpoint: &Endpoint) {
        let ids: Vec<_> = self.deliveries(endpoint).await.iter().map(|row| row.id).collect();
        self.ring_for(&ids).await;
    }

    /// Waits until all deliveries of an endpoint are in this state.
    pub(crate) async fn wait_for_state(&self, endpoint: &Endpoint, state: &str) {
        eventually(SOON, || async {
            self.deliveries(endpoint).await.iter().all(|row| row.state == state).then_some(())
        })
        .await;
    }

    /// Waits until so many attempts of the only delivery of an endpoint were recorded.
    pub(crate) async fn wait_for_attempts(&self, endpoint: &Endpoint, count: usize) {
        eventually(SOON, || async { (self.attempts(endpoint).await.len() >= count).then_some(()) })
            .await;
    }

    /// Waits until every ring was answered.
    pub(crate) async fn wait_for_silence(&self) {
        eventually(SOON, || async {
            (self.queue.depth(&Stream::Notify).await.unwrap().length == 0).then_some(())
        })
        .await;
    }

    /// Starts a notifier.
    pub(crate) fn notify(&self, settings: Settings) -> Running {
        let config = settings.config(&self.database);
        let (store, queue, clock) = (self.store().clone(), self.queue.clone(), self.clock.clone());
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let task = tokio::spawn(async move {
            notifier::run(&config, store, &queue, clock, token).await.unwrap();
        });
        Running { shutdown, task }
    }
}

/// A notifier at work.
pub(crate) struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Lets it finish what is under way.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}
