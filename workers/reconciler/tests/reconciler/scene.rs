//! A ledger, a queue, a clock that stands still, and reconcilers.

use std::num::NonZeroUsize;
use std::time::Duration;

use domain::{DeliveryId, EndpointId, EventType, Payment};
use queue::{Job, Queue, QueueConfig, Stream};
use runtime::{Clock, ClockHand, Config};
use store::{DeliveryFilter, NewEndpoint, Store};
use testkit::{Buyer, Database, RedisServer, Seller, eventually};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

/// How long anything may take that happens at once on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// After so long, whatever was accepted is due.
pub(crate) const DUE: Duration = Duration::from_secs(4);

const SETTINGS: &str = "
[reconciler]
interval_ms = 20
batch = 10
";

pub(crate) struct Scene {
    pub(crate) database: Database,
    pub(crate) redis: RedisServer,
    pub(crate) queue: Queue,
    pub(crate) clock: Clock,
    pub(crate) hand: ClockHand,
    pub(crate) seller: Seller,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let (database, redis) = tokio::join!(Database::create(), RedisServer::start());
        let queue = Queue::connect(QueueConfig::new(redis.url())).unwrap();
        let (clock, hand) = Clock::manual(Clock::system().now_unix_ms());
        let seller = Seller::create(&database.store).await;
        Self { database, redis, queue, clock, hand, seller }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.database.store
    }

    pub(crate) fn now(&self) -> domain::Timestamp {
        domain::Timestamp::from_unix_ms(self.clock.now_unix_ms())
    }

    /// Payments that were accepted just now, with nobody told.
    pub(crate) async fn accept(&self, count: usize) -> Vec<Payment> {
        let mut payments = Vec::new();
        for _ in 0..count {
            let mut intake = self.seller.intake(&Buyer::new().authorize().sign());
            intake.accepted_at = self.now();
            payments.push(self.seller.accept_intake(self.store(), intake).await);
        }
        payments
    }

    /// An endpoint that hears of every accepted payment.
    pub(crate) async fn endpoint(&self) -> EndpointId {
        let new = NewEndpoint {
            terms: domain::EndpointTerms::default(),
            id: EndpointId::new(Uuid::now_v7()),
            account: self.seller.account,
            url: "https://seller.example/hook".to_owned(),
            event_types: vec![EventType::Accepted],
            secret: vec![7; 32],
        };
        assert!(self.store().create_endpoint(&new, 1_000, self.now()).await.unwrap());
        new.id
    }

    /// What is on its way to an endpoint.
    pub(crate) async fn deliveries_to(&self, endpoint: EndpointId) -> Vec<DeliveryId> {
        let filter = DeliveryFilter { account: self.seller.account, endpoint, before: None };
        let rows = self.store().list_deliveries(&filter, 1_000).await.unwrap();
        rows.into_iter().map(|row| row.id).collect()
    }

    /// Starts a reconciler.
    pub(crate) fn reconcile(&self) -> Running {
        let config = Config::from_sources(
            SETTINGS,
            &[
                ("DATABASE_URL".to_owned(), self.database.url.clone()),
                ("REDIS_URL".to_owned(), "redis://queue.example".to_owned()),
            ],
            &|_| Err(std::io::ErrorKind::NotFound.into()),
        )
        .unwrap();
        let (store, queue, clock) = (self.store().clone(), self.queue.clone(), self.clock.clone());
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let task = tokio::spawn(async move {
            Box::pin(reconciler::run(&config, store, &queue, clock, token)).await;
        });
        Running { shutdown, task }
    }

    /// How many jobs are in a stream.
    pub(crate) async fn length(&self, stream: &Stream) -> usize {
        usize::try_from(self.queue.depth(stream).await.unwrap().length).unwrap()
    }

    /// Waits until a stream holds so many jobs.
    pub(crate) async fn wait_for_length(&self, stream: &Stream, count: usize) {
        eventually(SOON, || async { (self.length(stream).await >= count).then_some(()) }).await;
    }

    /// Waits until the first in a line has stood there for so long.
    pub(crate) async fn wait_for_line(&self, stream: &Stream, time: Duration) {
        eventually(SOON, || async {
            let line = self.queue.waiting_for(stream).await.unwrap();
            (line >= Some(time)).then_some(())
        })
        .await;
    }

    /// Takes the jobs of a stream from now on.
    pub(crate) fn listen(&self, stream: Stream) -> Ear {
        let (heard, ids) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let (queue, token) = (self.queue.clone(), stop.clone());
        tokio::spawn(async move {
            let hear = move |job: Job| {
                let gone = heard.send(job.id).is_err();
                async move { if gone { Err(std::io::Error::other("gone").into()) } else { Ok(()) } }
            };
            queue.work(stream, NonZeroUsize::new(16).unwrap(), hear, token).await
        });
        Ear { ids, _stop: stop.drop_guard() }
    }
}

/// A reconciler at work.
pub(crate) struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Lets it finish its round.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

/// The jobs that a worker of one stream is given.
pub(crate) struct Ear {
    ids: mpsc::UnboundedReceiver<String>,
    _stop: DropGuard,
}

impl Ear {
    /// The next so many ids, in order of their text.
    pub(crate) async fn hear(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let id = tokio::time::timeout(SOON, self.ids.recv()).await.expect("a ring in time");
            ids.push(id.unwrap());
        }
        ids.sort();
        ids
    }
}

/// Ids as jobs carry them, in order of their text.
pub(crate) fn names<T: ToString>(ids: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut names: Vec<String> = ids.into_iter().map(|id| id.to_string()).collect();
    names.sort();
    names
}
