//! Processes and servers die in the middle of their work; afterwards everything is as it should be.

use futures::future::join_all;
use x402::Version;

use crate::pipeline::{Pipeline, ROLES};

const PAYMENTS: u64 = 12;

/// Posts payments while `disturb` does its worst in the middle of them.
async fn pay_through(
    pipeline: &mut Pipeline,
    disturb: impl AsyncFnOnce(&mut Pipeline),
) -> Vec<String> {
    let buyer = pipeline.buyer(3 * PAYMENTS * 100).await;
    let bodies: Vec<_> =
        (0..3 * PAYMENTS).map(|_| pipeline.sign(&buyer, 100).body(Version::V2)).collect();
    let (before, after) = bodies.split_at(usize::try_from(PAYMENTS).unwrap());
    let mut payments = join_all(before.iter().map(|body| pipeline.pay(body))).await;
    disturb(pipeline).await;
    payments.extend(join_all(after.iter().map(|body| pipeline.pay(body))).await);
    payments
}

#[tokio::test]
async fn every_role_can_be_killed_in_the_middle() {
    let mut pipeline = Pipeline::start().await;
    let mut payments = Vec::new();
    for role in ROLES {
        let more = pay_through(&mut pipeline, async |pipeline| {
            pipeline.crash(role);
            pipeline.start_role(role);
        });
        payments.extend(more.await);
    }
    pipeline.assert_settled_and_told(&payments).await;
}

#[tokio::test]
async fn all_roles_can_be_killed_at_once() {
    let mut pipeline = Pipeline::start().await;
    let payments = pay_through(&mut pipeline, async |pipeline| {
        for role in ROLES {
            pipeline.crash(role);
        }
        for role in ROLES {
            pipeline.start_role(role);
        }
    })
    .await;
    pipeline.assert_settled_and_told(&payments).await;
}

#[tokio::test]
async fn redis_can_be_killed_and_emptied_and_payments_are_accepted_without_it() {
    let mut pipeline = Pipeline::start().await;
    let mut payments = pay_through(&mut pipeline, async |pipeline| pipeline.redis.kill()).await;
    pipeline.redis.start_again().await;
    payments
        .extend(pay_through(&mut pipeline, async |pipeline| pipeline.redis.flush().await).await);
    pipeline.assert_settled_and_told(&payments).await;
}

#[tokio::test]
async fn the_node_can_be_killed_and_started_again() {
    let mut pipeline = Pipeline::start().await;
    let payments = pay_through(&mut pipeline, async |pipeline| {
        pipeline.anvil.kill().await;
        pipeline.anvil.start_again().await;
    })
    .await;
    pipeline.assert_settled_and_told(&payments).await;
}

#[tokio::test]
async fn connections_to_the_ledger_can_be_cut_in_the_middle() {
    let mut pipeline = Pipeline::start().await;
    let mut payments = Vec::new();
    for _ in 0..3 {
        let more = pay_through(&mut pipeline, async |pipeline| {
            let cut = "select pg_terminate_backend(pid) from pg_stat_activity
                       where datname = current_database() and pid <> pg_backend_pid()";
            // The cut may hit one of the test's own idle connections first.
            let _ = sqlx::raw_sql(cut).execute(pipeline.database.store.pool()).await;
        });
        payments.extend(more.await);
    }
    pipeline.assert_settled_and_told(&payments).await;
}
