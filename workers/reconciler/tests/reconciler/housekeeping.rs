//! Idempotency keys, sessions of the risk engine, and metrics.

use std::time::Duration;

use domain::Timestamp;
use domain::risk_engine::RiskSession;
use sha2::{Digest, Sha256};
use sqlx::Executor;
use store::{Idempotency, NewRiskTrace, RiskSessionRow};
use testkit::{Buyer, eventually};
use uuid::Uuid;

use crate::scene::{DUE, SOON, Scene};

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Scene {
    /// A payment whose request had this key.
    async fn accept_with_key(&self, key: &str, at: Timestamp) {
        let mut intake = self.seller.intake(&Buyer::new().authorize().sign());
        intake.accepted_at = at;
        intake.idempotency = vec![Idempotency { key: key.to_owned(), body_digest: [0; 32] }];
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

impl Scene {
    /// A session that ends in a quarter of an hour, with a trace.
    async fn session(&self) -> Uuid {
        let (id, now) = (Uuid::new_v4(), self.now());
        let session = RiskSession {
            id,
            wallet: Buyer::new().address(),
            agent_did: "did:web:agent".to_owned(),
            expires_at: now.plus(Duration::from_secs(900)),
        };
        let (agent_endpoint, app_id, device) = (None, None, None);
        let row = RiskSessionRow { session, agent_endpoint, app_id, device, created_at: now };
        assert!(self.store().begin_risk_session(self.seller.account, &row).await.unwrap());
        let sha256 = Sha256::digest(b"{}").into();
        let trace = NewRiskTrace { id, session: id, body: b"{}", sha256, request_id: None };
        self.store().tell_risk_trace(self.seller.account, &trace, now).await.unwrap();
        id
    }

    async fn sessions(&self) -> Vec<Uuid> {
        let query = sqlx::raw_sql(
            "select s.id from risk_sessions s join risk_traces t on t.session_id = s.id",
        );
        let rows = self.store().pool().fetch_all(query).await.unwrap();
        rows.iter().map(|row| sqlx::Row::get(row, 0)).collect()
    }
}

#[tokio::test]
async fn sessions_of_the_risk_engine_are_forgotten_an_hour_after_their_end_with_their_traces() {
    let scene = Scene::new().await;
    scene.session().await;
    scene.hand.advance(Duration::from_secs(2));
    let young = scene.session().await;
    scene.hand.advance(Duration::from_secs(900 + 3_600 - 1));

    let _running = scene.reconcile();

    eventually(SOON, || async { (scene.sessions().await == [young]).then_some(()) }).await;
}

#[tokio::test]
async fn what_is_due_and_how_full_the_queue_is_can_be_measured() {
    let metrics = runtime::metrics::install().unwrap();
    let scene = Scene::new().await;
    scene.endpoint().await;
    scene.accept(1).await;
    scene.hand.advance(DUE);

    let _running = scene.reconcile();

    let shown = |text: &str| {
        let lines = [
            "payments_due ",
            "payments_oldest_due_seconds ",
            "risk_holds ",
            "webhook_backlog ",
            "webhook_oldest_due_seconds ",
            "queue_depth{stream=\"risk\"} ",
            "queue_depth{stream=\"notify\"} ",
            "queue_dead_entries{stream=\"notify\"} ",
            "queue_oldest_seconds{stream=\"risk\"} ",
            "payments_oldest_submitted_seconds ",
            "reconciler_rings_total{stream=\"risk\"} ",
        ];
        lines.iter().all(|line| text.contains(&format!("\n{line}")))
    };
    eventually(SOON, || async { shown(&metrics.render()).then_some(()) }).await;
}
