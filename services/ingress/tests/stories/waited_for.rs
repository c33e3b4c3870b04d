//! What becomes of settlements while somebody waits for them, or does not any more.

use std::sync::Arc;
use std::time::Duration;

use domain::{Event, StateName};
use sqlx::{Executor, Row};
use store::Change;
use testkit::{Buyer, eventually};
use tokio::task::JoinHandle;
use x402::Version;

use crate::facilitating::ask;
use crate::shop::{Shop, Told, now};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

impl Shop {
    /// Waits until a statement waits for somebody else's lock.
    async fn wait_until_locked_out(&self) {
        let waiting = "select count(*) from pg_stat_activity \
            where datname = current_database() and wait_event_type = 'Lock'";
        eventually(PATIENCE, async || {
            let pool = self.database.store.pool();
            let row = pool.fetch_one(sqlx::raw_sql(waiting)).await.unwrap();
            (row.get::<i64, _>(0) > 0).then_some(())
        })
        .await;
    }

    async fn wait_for_state(&self, state: StateName) {
        eventually(PATIENCE, async || {
            let payments = self.payments().await;
            payments.iter().any(|payment| payment.state.name() == state).then_some(())
        })
        .await;
    }
}

/// Somebody who has a new payment settled, and waits for that.
fn settling(shop: &Arc<Shop>) -> JoinHandle<Told> {
    let (shop, body) = (Arc::clone(shop), Buyer::new().authorize().sign().body(Version::V2));
    tokio::spawn(async move { ask(&shop, "/settle", &body).await })
}

#[tokio::test]
async fn what_risk_approves_while_it_is_taken_back_is_taken_back_all_the_same() {
    let shop = Arc::new(Shop::open().await);
    let settling = settling(&shop);
    shop.wait_for_state(StateName::Accepted).await;

    let mut approving = shop.database.store.pool().begin().await.unwrap();
    approving.execute("select from payments for update").await.unwrap();
    shop.wait_until_locked_out().await;
    let approve = "update payments set state = 'approved', version = version + 1, \
        approved_until = now() + interval '1 minute'";
    approving.execute(approve).await.unwrap();
    approving.commit().await.unwrap();

    let told = settling.await.unwrap();
    assert_eq!(told.body["errorReason"], "unexpected_settle_error", "{}", told.body);
    assert_eq!(told.body["extra"]["quittance"]["status"], "canceled");
}

#[tokio::test]
async fn what_nobody_sends_in_time_is_taken_back_although_its_caller_has_gone() {
    let shop = Arc::new(Shop::open().await);
    let settling = settling(&shop);
    shop.wait_for_state(StateName::Accepted).await;

    settling.abort();

    shop.wait_for_state(StateName::Canceled).await;
}

#[tokio::test]
async fn a_ledger_that_is_away_in_the_middle_of_a_wait_does_not_end_it() {
    let shop = Shop::builder().pool(1, Duration::from_secs(2)).longest_wait(PATIENCE);
    let (shop, store) = shop.open().await;
    let shop = Arc::new(shop);
    // Its key is remembered from here on, so that the next request comes as far as the commit.
    Told::by(shop.post(&Buyer::new().authorize().sign().body(Version::V2))).await;
    let mut holding_up = shop.database.store.pool().begin().await.unwrap();
    holding_up.execute("lock table payments in exclusive mode").await.unwrap();
    let settling = settling(&shop);
    shop.wait_until_locked_out().await;

    // In line for the one connection before the wait begins, which is then refused it.
    let only_connection = tokio::spawn(async move { store.pool().acquire().await.unwrap() });
    tokio::task::yield_now().await;
    holding_up.commit().await.unwrap();
    let only_connection = only_connection.await.unwrap();
    let refused = Told::by(shop.post(&Buyer::new().authorize().sign().body(Version::V2))).await;
    assert_eq!((refused.status, refused.code()), (503, "accept_unavailable"));
    drop(only_connection);

    let payment = shop.payments().await.remove(0);
    let change = Change { payment, event: Event::Canceled, carrier: None };
    shop.database.store.advance(vec![change], now()).await.unwrap();
    let told = settling.await.unwrap();
    assert_eq!(told.status, 200, "{}", told.body);
    assert_eq!(told.body["extra"]["quittance"]["status"], "canceled");
}
