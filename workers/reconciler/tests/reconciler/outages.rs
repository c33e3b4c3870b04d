//! PostgreSQL or Redis away.

use queue::Stream;
use sqlx::Executor;
use testkit::eventually;

use crate::scene::{DUE, SOON, Scene, names};

impl Scene {
    async fn sql(&self, statement: &'static str) {
        self.store().pool().execute(sqlx::raw_sql(statement)).await.unwrap();
    }

    async fn rings(&self) -> i32 {
        let query = sqlx::raw_sql("select sum(rings)::integer from payments");
        sqlx::Row::get(&self.store().pool().fetch_one(query).await.unwrap(), 0)
    }
}

#[tokio::test]
async fn what_comes_due_while_redis_is_away_is_rung_for_as_soon_as_it_is_back() {
    let mut scene = Scene::new().await;
    let payments = scene.accept(3).await;
    scene.redis.kill();
    let _running = scene.reconcile();
    scene.hand.advance(DUE);
    eventually(SOON, || async { scene.queue.ping().await.is_err().then_some(()) }).await;
    assert_eq!(scene.rings().await, 0);

    scene.redis.start_again().await;

    let ids = names(payments.iter().map(|payment| payment.id));
    assert_eq!(scene.listen(Stream::Risk).hear(3).await, ids);
}

#[tokio::test]
async fn what_comes_due_while_the_ledger_is_away_is_rung_for_when_it_is_back() {
    let scene = Scene::new().await;
    scene.accept(3).await;
    scene.sql("alter table payments rename to payments_away").await;
    let running = scene.reconcile();
    scene.hand.advance(DUE);
    eventually(SOON, || async { scene.store().backlog(1, scene.now()).await.err() }).await;
    assert_eq!(scene.length(&Stream::Risk).await, 0);

    scene.sql("alter table payments_away rename to payments").await;
    scene.wait_for_length(&Stream::Risk, 3).await;

    running.stop().await;
}
