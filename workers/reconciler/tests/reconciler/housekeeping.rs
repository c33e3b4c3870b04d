//! Idempotency keys and metrics.

use std::time::Duration;

use domain::Timestamp;
use sqlx::Executor;
use store::Idempotency;
use testkit::{Buyer, eventually};

use crate::scene::{DUE, SOON, Scene};

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Scene {
    /// A payment whose request had this key.
    async fn accept_with_key(&self, key: &str, at: Timestamp) {
        let mut intake = self.seller.intake(&Buyer::new().authorize().sign());
        intake.accepted_at = at;
        intake.idempotency = Some(Idempotency { key: key.to_owned(), body_digest: [0; 32] });
        self.seller.accept_intake(self.store(), intake).await;
    }

    async fn keys(&self) -> Vec<String> {
        let query = sqlx::raw_sql("select key from idempotency_keys order by key");
        let rows = self.store().pool().fetch_all(query).await.unwrap();
        rows.iter().map(|row| sqlx::Row::get(row, 0)).collect()
    }
}

#[tokio::test]
async fn idempotency_keys_are_forgotten_after_seven_days_and_no_sooner() {
    let scene = Scene::new().await;
    scene.accept_with_key("old", scene.now()).await;
    scene.hand.advance(DAY);
    scene.accept_with_key("young", scene.now()).await;
    scene.hand.advance(6 * DAY + Duration::from_secs(1));

    let _running = scene.reconcile();

    eventually(SOON, || async { (scene.keys().await == ["young"]).then_some(()) }).await;
}

#[tokio::test]
async fn what_is_due_and_how_full_the_queue_is_can_be_measured() {
    let metrics = runtime::metrics::install().unwrap();
    reconciler::describe_metrics();
    let scene = Scene::new().await;
    scene.endpoint().await;
    scene.accept(1).await;
    scene.hand.advance(DUE);

    let _running = scene.reconcile();

    let shown = |text: &str| {
        let lines = [
            "payments_due ",
            "payments_oldest_due_seconds ",
            "webhook_backlog ",
            "webhook_oldest_due_seconds ",
            "queue_depth{stream=\"risk\"} ",
            "queue_depth{stream=\"notify\"} ",
            "reconciler_rings_total{stream=\"risk\"} ",
        ];
        lines.iter().all(|line| text.contains(&format!("\n{line}")))
    };
    eventually(SOON, || async { shown(&metrics.render()).then_some(()) }).await;
}
