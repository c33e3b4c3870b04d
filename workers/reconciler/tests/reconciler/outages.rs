//! PostgreSQL or Redis away.

use queue::Stream;
use sqlx::Executor;

use crate::scene::{DUE, Running, Scene, names};

impl Scene {
    async fn sql(&self, statement: &'static str) {
        self.store().pool().execute(sqlx::raw_sql(statement)).await.unwrap();
    }

    async fn rings(&self) -> i32 {
        let query = sqlx::raw_sql("select sum(rings)::integer from payments");
        sqlx::Row::get(&self.store().pool().fetch_one(query).await.unwrap(), 0)
    }
}

/// A reconciler that lives through what is away, after another has met it for a whole round.
async fn reconcile_without_it(scene: &Scene) -> Running {
    let witness = scene.reconcile();
    let survivor = scene.reconcile();
    // The first round begins with the first look at the clock; stopping waits for its end.
    tokio::task::yield_now().await;
    witness.stop().await;
    survivor
}

#[tokio::test]
async fn what_comes_due_while_redis_is_away_is_rung_for_as_soon_as_it_is_back() {
    let mut scene = Scene::new().await;
    let payments = scene.accept(3).await;
    scene.hand.advance(DUE);
    scene.redis.kill();
    let _running = reconcile_without_it(&scene).await;
    assert_eq!(scene.rings().await, 0);

    scene.redis.start_again().await;

    let ids = names(payments.iter().map(|payment| payment.id));
    assert_eq!(scene.listen(Stream::Risk).hear(3).await, ids);
}

#[tokio::test]
async fn what_comes_due_while_the_ledger_is_away_is_rung_for_when_it_is_back() {
    let scene = Scene::new().await;
    scene.accept(3).await;
    scene.hand.advance(DUE);
    scene.sql("alter table payments rename to payments_away").await;
    let running = reconcile_without_it(&scene).await;
    assert_eq!(scene.length(&Stream::Risk).await, 0);

    scene.sql("alter table payments_away rename to payments").await;
    scene.wait_for_length(&Stream::Risk, 3).await;

    running.stop().await;
}
