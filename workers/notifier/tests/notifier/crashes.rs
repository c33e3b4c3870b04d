//! Notifiers that die or stop, and a ledger that goes away.

use std::time::Duration;

use queue::{Queue, QueueConfig};
use sqlx::{Executor, Row};
use store::Store;
use testkit::{Answer, Receiver, eventually};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use crate::scene::{ROOMY, SOON, Scene};

/// Longer than a claim holds.
const LEASE_IS_OVER: Duration = Duration::from_secs(46);

/// A notifier with threads, connections and memory of its own.
struct Process(Runtime);

impl Process {
    fn start(scene: &Scene) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let config = ROOMY.config(&scene.database);
        let (database, redis) = (scene.database.url.clone(), scene.redis.url());
        let clock = scene.clock.clone();
        runtime.spawn(async move {
            let store = Store::connect(&database, 4, SOON).unwrap();
            let queue = Queue::connect(QueueConfig::new(redis)).unwrap();
            notifier::run(&config, store, &queue, clock, CancellationToken::new()).await
        });
        Self(runtime)
    }

    /// Everything stops where it is, as after SIGKILL.
    fn kill(self) {
        self.0.shutdown_background();
    }
}

impl Scene {
    async fn sql(&self, statement: &'static str) -> Vec<sqlx::postgres::PgRow> {
        self.store().pool().fetch_all(sqlx::raw_sql(statement)).await.unwrap()
    }

    /// Waits until somebody waits for a lock.
    async fn wait_for_a_blocked_statement(&self) {
        let blocked = "select count(*) from pg_stat_activity
                       where datname = current_database() and wait_event_type = 'Lock'";
        eventually(SOON, || async {
            (self.sql(blocked).await[0].get::<i64, _>(0) > 0).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn what_was_sent_and_not_recorded_is_sent_again_the_same() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 1).await;
    receiver.answer(Answer::Hang);
    let doomed = Process::start(&scene);
    scene.ring(&endpoint).await;
    receiver.wait_for(1, SOON).await;
    doomed.kill();

    receiver.answer(Answer::status(200));
    scene.hand.advance(LEASE_IS_OVER);
    let _running = scene.notify(ROOMY);
    scene.ring(&endpoint).await;
    scene.wait_for_state(&endpoint, "delivered").await;

    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].event_id(), requests[1].event_id());
    assert_eq!(requests[0].body, requests[1].body);
    assert_ne!(requests[0].header("webhook-timestamp"), requests[1].header("webhook-timestamp"));
}

#[tokio::test]
async fn what_a_dead_notifier_claimed_is_left_alone_until_the_claim_is_over() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 1).await;
    receiver.answer(Answer::Hang);
    let doomed = Process::start(&scene);
    scene.ring(&endpoint).await;
    receiver.wait_for(1, SOON).await;
    let before = scene.queue.depth(&queue::Stream::Notify).await.unwrap().length;
    doomed.kill();

    scene.hand.advance(LEASE_IS_OVER / 2);
    let _running = scene.notify(ROOMY);
    scene.ring(&endpoint).await;
    eventually(SOON, || async {
        let length = scene.queue.depth(&queue::Stream::Notify).await.unwrap().length;
        (length <= before).then_some(())
    })
    .await;

    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn a_ledger_that_goes_away_while_an_attempt_is_recorded_costs_no_second_attempt() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 1).await;
    receiver.answer(Answer::Slow(Duration::from_millis(300)));
    let _running = scene.notify(ROOMY);
    scene.ring(&endpoint).await;
    receiver.wait_for(1, SOON).await;
    let mut lock = scene.store().pool().begin().await.unwrap();
    lock.execute(sqlx::raw_sql("select 1 from webhook_deliveries for update")).await.unwrap();
    scene.wait_for_a_blocked_statement().await;

    scene
        .sql(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock'",
        )
        .await;
    lock.rollback().await.unwrap();
    scene.wait_for_state(&endpoint, "delivered").await;

    assert_eq!(receiver.requests().len(), 1);
    assert_eq!(scene.attempts(&endpoint).await.len(), 1);
}

#[tokio::test]
async fn a_notifier_that_stops_finishes_what_is_under_way() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 1).await;
    receiver.answer(Answer::Slow(Duration::from_millis(300)));
    let running = scene.notify(ROOMY);
    scene.ring(&endpoint).await;
    receiver.wait_for(1, SOON).await;

    running.stop().await;

    assert_eq!(scene.delivery(&endpoint).await.state, "delivered");
}
