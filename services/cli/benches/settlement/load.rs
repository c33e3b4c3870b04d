//! Payments that are offered at fixed times, whatever becomes of those before them.

use std::sync::Arc;
use std::time::Duration;

use domain::PaymentId;
use serde_json::Value;
use testkit::{SignedAuthorization, eventually};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use x402::Version;

use crate::figures;
use crate::world::World;

/// How long all payments of a load may take to end.
const END: Duration = Duration::from_secs(120);

/// For how many seconds an authorization is valid.
const VALID_SECS: i64 = 600;

const AMOUNT: u64 = 1_000;

/// Bodies that are signed beforehand, and when to send each.
pub(crate) struct Load {
    bodies: Vec<String>,
    interval: Duration,
    /// Those that were taken, once they are.
    pub(crate) payments: Mutex<Vec<PaymentId>>,
}

/// How the offering went.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offered {
    pub(crate) accepted: usize,
    pub(crate) refused: usize,
    /// The most that one was sent after its time.
    pub(crate) latest: Duration,
    pub(crate) took: Duration,
}

impl Load {
    pub(crate) async fn prepare(world: &World, rate: u64, time: Duration) -> Self {
        let count = usize::try_from(rate * time.as_secs()).unwrap();
        let mut bodies = Vec::with_capacity(count);
        for number in 0..count {
            bodies.push(sign(world, number).body(Version::V2).to_string());
        }
        Self {
            bodies,
            interval: Duration::from_secs(1) / u32::try_from(rate).unwrap(),
            payments: Mutex::default(),
        }
    }

    /// Sends each at its time.
    pub(crate) async fn offer(&self, world: &World) -> Offered {
        let began = Instant::now();
        let (mut due, mut offered) = (began, Offered::default());
        let mut sent = JoinSet::new();
        let url: Arc<str> = format!("{}/v1/payments", world.ingress).into();
        let key: Arc<str> = world.seller.key.as_str().into();
        for body in &self.bodies {
            tokio::time::sleep_until(due).await;
            offered.latest = offered.latest.max(due.elapsed());
            due += self.interval;
            let request = world.http.post(&*url).bearer_auth(&key);
            let request = request.header("content-type", "application/json").body(body.clone());
            sent.spawn(async move { accepted(request.send().await.ok()?).await });
        }
        let mut payments = self.payments.lock().await;
        while let Some(answer) = sent.join_next().await {
            payments.extend(answer.unwrap());
        }
        offered.took = began.elapsed();
        offered.accepted = payments.len();
        offered.refused = self.bodies.len() - payments.len();
        offered
    }

    /// Waits until every payment that was taken is over.
    pub(crate) async fn finish(&self, world: &World) {
        eventually(END, || async {
            let open = "select count(*)::text as open from payments where due_at is not null";
            let rows = sqlx::raw_sql(open).fetch_all(world.database.store.pool()).await.ok()?;
            let open: String = sqlx::Row::try_get(rows.first()?, "open").ok()?;
            (open == "0").then_some(())
        })
        .await;
    }
}

/// A payment alone: posted, and waited for; with the calls that all of it took.
pub(crate) async fn alone(world: &World) -> (PaymentId, u64) {
    let body = sign(world, 0).body(Version::V2).to_string();
    let before = world.calls().await;
    let request = world.http.post(format!("{}/v1/payments", world.ingress));
    let request = request.bearer_auth(&world.seller.key);
    let request = request.header("content-type", "application/json").body(body);
    let payment = accepted(request.send().await.unwrap()).await.unwrap();
    eventually(END, || async {
        let loaded = world.database.store.load(&[payment]).await.ok()?;
        loaded.first()?.state.is_terminal().then_some(())
    })
    .await;
    (payment, figures::between(&before, &world.calls().await).values().sum())
}

async fn accepted(answer: reqwest::Response) -> Option<PaymentId> {
    let body: Value = answer.error_for_status().ok()?.json().await.ok()?;
    body["id"].as_str()?.parse().ok()
}

fn sign(world: &World, number: usize) -> SignedAuthorization {
    let buyer = &world.buyers[number % world.buyers.len()];
    buyer.authorize().pay_to(world.pay_to).amount(AMOUNT).valid_for(VALID_SECS).sign()
}
