//! The course of a run, second by second, as the ledger tells it afterwards: to look while it runs
//! would cost what is being measured.

use serde::Serialize;
use sqlx::{AssertSqlSafe, Executor, PgPool, Row};

use crate::world::World;

/// One second after the other, from the beginning of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Course {
    /// Payments accepted in each second.
    pub(crate) accepted: Vec<f64>,
    /// Payments settled.
    pub(crate) settled: Vec<f64>,
    /// Webhooks sent.
    pub(crate) webhooks: Vec<f64>,
    /// Payments that were not over at the end of each second.
    pub(crate) backlog: Vec<f64>,
    /// Payments in each transaction, on average.
    pub(crate) payments_per_transaction: Vec<f64>,
}

/// How long payments took: the share that took at most so long, and how long, in milliseconds.
pub(crate) type Curve = Vec<(f64, f64)>;

/// The shares of a curve: from half to all but one of ten thousand.
pub(crate) const SHARES: [f64; 14] =
    [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995, 0.9975, 0.999, 0.9995, 0.99975, 0.9999];

impl World {
    /// What happened since a mark.
    pub(crate) async fn course(&self, since: &str) -> Course {
        let events = |types: &str| {
            format!(
                "select floor(extract(epoch from e.at - '{since}'::timestamptz))::bigint as second,
                        count(*)::float8 as value
                 from payments p join payment_events e on e.payment_id = p.id
                 where p.created_at >= '{since}' and e.type in ({types}) group by 1"
            )
        };
        let attempts = format!(
            "select floor(extract(epoch from at - '{since}'::timestamptz))::bigint as second,
                    count(*)::float8 as value
             from webhook_attempts where at >= '{since}' group by 1"
        );
        let batches = format!(
            "select floor(extract(epoch from t.created_at - '{since}'::timestamptz))::bigint as second,
                    count(*)::float8 / count(distinct t.id) as value
             from chain_transactions t join transaction_items i on i.transaction_id = t.id
             where t.created_at >= '{since}' group by 1"
        );
        let over = "'payment.settled', 'payment.rejected', 'payment.expired', 'payment.failed'";
        let accepted = seconds(self.pool(), &events("'payment.accepted'")).await;
        let backlog = backlog(&accepted, &seconds(self.pool(), &events(over)).await);
        Course {
            settled: seconds(self.pool(), &events("'payment.settled'")).await,
            webhooks: seconds(self.pool(), &attempts).await,
            payments_per_transaction: seconds(self.pool(), &batches).await,
            accepted,
            backlog,
        }
    }

    /// How long the payments that were accepted since a mark took to be settled.
    pub(crate) async fn settle_curve(&self, since: &str) -> Curve {
        let shares = SHARES.map(|share| share.to_string()).join(", ");
        let sql = format!(
            "select percentile_cont(array[{shares}]) within group (order by ms) as values from (
                 select extract(epoch from e.at - p.created_at)::float8 * 1000 as ms
                 from payments p join payment_events e on e.payment_id = p.id
                 where p.created_at >= '{since}' and e.type = 'payment.settled') as took"
        );
        let row = self.pool().fetch_one(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
        let values: Option<Vec<f64>> = row.get("values");
        SHARES.into_iter().zip(values.unwrap_or_default()).collect()
    }
}

/// A value for each second from the first to the last that has one, zero in between.
async fn seconds(pool: &PgPool, sql: &str) -> Vec<f64> {
    let rows = pool.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.unwrap();
    let mut values = Vec::new();
    for row in rows {
        let Ok(second) = usize::try_from(row.get::<i64, _>("second")) else { continue };
        values.resize(values.len().max(second + 1), 0.0);
        values[second] = row.get("value");
    }
    values
}

#[expect(clippy::float_arithmetic, reason = "figures for people; no amount is among them")]
fn backlog(accepted: &[f64], over: &[f64]) -> Vec<f64> {
    let mut open = 0.0;
    let at = |values: &[f64], second: usize| values.get(second).copied().unwrap_or_default();
    (0..accepted.len().max(over.len()))
        .map(|second| {
            open += at(accepted, second) - at(over, second);
            open
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_accepted_and_is_not_over_is_the_backlog() {
        assert_eq!(backlog(&[10.0, 10.0], &[0.0, 7.0, 9.0, 4.0]), [10.0, 13.0, 4.0, 0.0]);
    }
}
