//! Payments that nobody looked at in time.

use domain::{Event, Payment};
use queue::{Job, Stream};
use store::Change;

use crate::scene::{DUE, Scene, names};

fn ids(payments: &[Payment]) -> Vec<String> {
    names(payments.iter().map(|payment| payment.id))
}

impl Scene {
    async fn apply(&self, payments: &[Payment], event: Event) {
        let change = |payment: &Payment| Change { payment: payment.clone(), event, carrier: None };
        let changes = payments.iter().map(change).collect();
        let done = self.store().advance(changes, self.now()).await.unwrap();
        assert_eq!(done.moved().count(), payments.len());
    }
}

#[tokio::test]
async fn each_due_payment_is_rung_for_where_it_has_to_be_looked_at() {
    let scene = Scene::new().await;
    let payments = scene.accept(25).await;
    let (accepted, rest) = payments.split_at(12);
    let (approved, held) = rest.split_at(12);
    scene.apply(approved, Event::Approved { until: scene.now().plus(10 * DUE) }).await;
    scene.apply(held, Event::Held { until: scene.now().plus(DUE) }).await;
    let mut risk = scene.listen(Stream::Risk);
    let mut settle = scene.listen(Stream::settle(approved[0].authorization.chain));

    scene.hand.advance(2 * DUE);
    let _running = scene.reconcile();

    assert_eq!(risk.hear(13).await, ids(&[accepted, held].concat()));
    assert_eq!(settle.hear(12).await, ids(approved));
}

#[tokio::test]
async fn a_job_that_redis_lost_is_done_all_the_same() {
    let scene = Scene::new().await;
    let payments = scene.accept(3).await;
    let jobs: Vec<Job> = ids(&payments).into_iter().map(Job::new).collect();
    scene.queue.push(&Stream::Risk, &jobs).await.unwrap();
    scene.redis.flush().await;
    let mut risk = scene.listen(Stream::Risk);

    scene.hand.advance(DUE);
    let _running = scene.reconcile();

    assert_eq!(risk.hear(3).await, ids(&payments));
}

#[tokio::test]
async fn several_reconcilers_at_once_ring_once_for_each_due_time() {
    let scene = Scene::new().await;
    let payments = scene.accept(200).await;
    scene.hand.advance(DUE);

    let running: Vec<_> = (0..4).map(|_| scene.reconcile()).collect();
    scene.wait_for_length(&Stream::Risk, payments.len()).await;
    for reconciler in running {
        reconciler.stop().await;
    }

    assert_eq!(scene.length(&Stream::Risk).await, payments.len());
}

#[tokio::test]
async fn an_unanswered_bell_is_rung_again_when_the_payment_is_due_again() {
    let scene = Scene::new().await;
    scene.accept(1).await;
    let _running = scene.reconcile();
    for rings in 1..=4 {
        scene.hand.advance(20 * DUE);
        scene.wait_for_length(&Stream::Risk, rings).await;
    }
    assert_eq!(scene.length(&Stream::Risk).await, 4);
}

#[tokio::test]
async fn who_stands_in_line_is_rung_for_when_the_line_is_gone_and_not_before() {
    let scene = Scene::new().await;
    let forgotten = scene.accept(1).await;
    scene.hand.advance(20 * DUE);
    let in_line = scene.accept(1).await;
    let bell = Job::new(in_line[0].id.to_string());
    scene.queue.push(&Stream::Risk, &[bell]).await.unwrap();
    // Both are due, and the line is longer than the second has been.
    scene.hand.advance(DUE);
    scene.wait_for_line(&Stream::Risk, DUE).await;

    let running = scene.reconcile();
    scene.wait_for_length(&Stream::Risk, 2).await;
    running.stop().await;
    assert_eq!(scene.length(&Stream::Risk).await, 2);
    let mut risk = scene.listen(Stream::Risk);
    assert_eq!(risk.hear(2).await, ids(&[forgotten, in_line.clone()].concat()));

    let _running = scene.reconcile();
    assert_eq!(risk.hear(1).await, ids(&in_line));
}

#[tokio::test]
async fn what_is_not_due_or_over_is_not_rung_for() {
    let scene = Scene::new().await;
    let due = scene.accept(1).await;
    scene.apply(&scene.accept(1).await, Event::Canceled).await;
    let held = Event::Held { until: scene.now().plus(20 * DUE) };
    scene.apply(&scene.accept(1).await, held).await;
    scene.hand.advance(DUE);
    scene.accept(1).await;

    let running = scene.reconcile();
    scene.wait_for_length(&Stream::Risk, 1).await;
    running.stop().await;

    assert_eq!(scene.length(&Stream::Risk).await, 1);
    assert_eq!(scene.listen(Stream::Risk).hear(1).await, ids(&due));
}
