//! What the ledger says about the payments of a run.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use domain::{Payment, PaymentId};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};

use crate::world::World;

/// How long all payments of a run may take to end.
const END: Duration = Duration::from_secs(180);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Payments that are loaded at once.
const PAGE: usize = 5_000;

/// Waits for a condition, and gives up without a word: what did not come true is counted later.
pub(crate) async fn until(limit: Duration, mut is_true: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_true().await && began.elapsed() < limit {
        tokio::time::sleep(LOOK).await;
    }
}

/// Milliseconds from accepted to a state: half of the payments were faster, and 99 of 100.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Times {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl World {
    /// How many payments are not over.
    pub(crate) async fn backlog(&self) -> u64 {
        number(self.pool(), "select count(*)::text as n from payments where due_at is not null")
            .await
    }

    /// Waits until every payment is over, or for as long as that may take.
    pub(crate) async fn drain(&self) {
        // One is enough to know: to count them all at every look would be part of what is measured.
        let first = "select count(*)::text as n from (
                         select 1 from payments where due_at is not null order by due_at limit 1
                     ) open";
        until(END, async || number(self.pool(), first).await == 0).await;
    }

    /// How many payments the run has brought.
    pub(crate) async fn stored(&self) -> u64 {
        let all = number(self.pool(), "select count(*)::text as n from payments").await;
        all.saturating_sub(self.seeded.map_or(0, |seeded| seeded.payments))
    }

    /// The ledger's time now, as PostgreSQL writes it: what is accepted from here on belongs to the next run.
    pub(crate) async fn mark(&self) -> String {
        text(self.pool(), "select clock_timestamp()::text as n").await
    }

    /// How long the payments that were accepted since a mark took to this event.
    pub(crate) async fn times(&self, since: &str, event: &str) -> Times {
        let at = |share: f64| {
            format!(
                "select percentile_cont({share}) within group (order by ms)::text as n from (
                     select extract(epoch from min(e.at) - p.created_at) * 1000 as ms
                     from payments p join payment_events e on e.payment_id = p.id
                     where p.created_at >= '{since}' and e.type = '{event}'
                     group by p.id, p.created_at) as took"
            )
        };
        let ms = async |share| text(self.pool(), &at(share)).await.parse().unwrap_or(f64::NAN);
        Times { p50_ms: ms(0.5).await, p99_ms: ms(0.99).await }
    }

    /// How long the payments that were accepted since a mark took to be sent to a node.
    pub(crate) async fn broadcast_p50_ms(&self, since: &str) -> f64 {
        let sql = format!(
            "select percentile_cont(0.5) within group (order by ms)::text as n from (
                 select extract(epoch from a.broadcast_at - p.created_at) * 1000 as ms
                 from payments p
                 join transaction_items i on i.payment_id = p.id
                 join transaction_attempts a on a.transaction_id = i.transaction_id
                 where p.created_at >= '{since}') as sent"
        );
        text(self.pool(), &sql).await.parse().unwrap_or(f64::NAN)
    }

    /// How many payments that were accepted since a mark are in this state.
    pub(crate) async fn in_state(&self, since: &str, state: &str) -> u64 {
        let sql = format!(
            "select count(*)::text as n from payments where created_at >= '{since}' and state = '{state}'"
        );
        number(self.pool(), &sql).await
    }

    /// These payments as they stand.
    pub(crate) async fn load(&self, ids: &[PaymentId]) -> Vec<Payment> {
        let mut payments = Vec::with_capacity(ids.len());
        for page in ids.chunks(PAGE) {
            payments.extend(self.database.store.load(page).await.unwrap());
        }
        payments
    }

    /// How many attempts at webhooks came to what.
    pub(crate) async fn attempts(&self) -> BTreeMap<String, u64> {
        let sql = "select outcome, count(*) as n from webhook_attempts group by 1";
        let rows = sqlx::raw_sql(sql).fetch_all(self.pool()).await.unwrap();
        let count = |row: &PgRow| u64::try_from(row.get::<i64, _>("n")).unwrap_or_default();
        rows.iter().map(|row| (row.get("outcome"), count(row))).collect()
    }

    /// Runs a statement that no function of the ledger would.
    pub(crate) async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(self.pool()).await.unwrap();
    }

    pub(crate) fn pool(&self) -> &PgPool {
        self.database.store.pool()
    }
}

async fn number(pool: &PgPool, sql: &str) -> u64 {
    text(pool, sql).await.parse().unwrap_or_default()
}

async fn text(pool: &PgPool, sql: &str) -> String {
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    let rows = sqlx::raw_sql(sql).fetch_all(pool).await.unwrap();
    rows[0].try_get("n").unwrap_or_default()
}
