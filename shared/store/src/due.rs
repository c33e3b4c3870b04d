//! Payments and deliveries that nobody has looked at in time.

use std::collections::HashMap;
use std::time::Duration;

use domain::{ChainId, DeliveryId, PaymentId, PaymentState, StateName, Timestamp, schedule};
use uuid::Uuid;

use crate::payment::load;
use crate::row::{moment, unsigned};
use crate::{Store, StoreError};

/// A payment whose bell is to be rung again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The payment.
    pub payment: PaymentId,
    /// Where it stands: whose bell to ring.
    pub state: StateName,
    /// The network it is on.
    pub chain: ChainId,
}

/// Which due deliveries to look for.
#[derive(Clone, Copy, Debug)]
pub struct DueDeliveries<'a> {
    /// At most so many.
    pub limit: i64,
    /// Of one endpoint at most so many: what bounds the work of one look.
    pub share: i64,
    /// None of these.
    pub except: &'a [DeliveryId],
}

/// How much is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Payments that are due, counted up to the caller's bound.
    pub payments: u64,
    /// Since when the first of them is.
    pub oldest_payment: Option<Timestamp>,
    /// Since when the first of those has been submitted that no block holds.
    pub oldest_submitted: Option<Timestamp>,
    /// Payments that wait for somebody to decide, counted up to the caller's bound.
    pub held: u64,
    /// Deliveries that are due, counted up to the caller's bound.
    pub deliveries: u64,
    /// Since when the first of them is.
    pub oldest_delivery: Option<Timestamp>,
}

/// How long the first has stood in each line of payments whose bells nobody has answered yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// In front of risk.
    pub risk: Duration,
    /// In front of settlement, network by network; where none is named, nobody stands.
    pub settlement: HashMap<ChainId, Duration>,
}

impl Store {
    /// Up to `limit` payments that have been due for longer than the line is in which they may
    /// stand, each put off to its next due time, so that several callers at once share them. A
    /// caller that dies with them costs a delay, nothing more.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was put off.
    pub async fn take_due(
        &self,
        limit: i64,
        lines: &Lines,
        now: Timestamp,
    ) -> Result<Vec<Due>, StoreError> {
        let (chains, waits): (Vec<i64>, Vec<f64>) = lines
            .settlement
            .iter()
            .map(|(chain, waits)| (chain.as_i64(), waits.as_secs_f64()))
            .unzip();
        let mut tx = self.pool.begin().await?;
        let rows = sqlx::query!(
            r#"select id, rings,
                      state = 'held' and exists (
                          select from hold_decisions where payment_id = payments.id
                      ) as "decided!"
               from payments
               where due_at <= $1 and due_at <= $1 - make_interval(secs => coalesce(
                   case when state in ('accepted', 'held') then $3 else (
                       select waits from unnest($4::bigint[], $5::float8[]) as line (chain, waits)
                       where line.chain = chain_id
                   ) end, 0))
               order by due_at limit $2 for update skip locked"#,
            now.to_datetime(),
            limit,
            lines.risk.as_secs_f64(),
            &chains,
            &waits,
        )
        .fetch_all(&mut *tx)
        .await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        let mut due = Vec::with_capacity(rows.len());
        let (mut put_off, mut rings, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for payment in load(&mut *tx, &ids).await? {
            let row = rows.iter().find(|row| row.id == payment.id.uuid());
            let (before, decided) = row.map_or((0, false), |row| (row.rings, row.decided));
            let rung = before.saturating_add(1);
            // A hold on which somebody has decided waits for nobody any more.
            let state = if decided { &PaymentState::Accepted } else { &payment.state };
            let next = schedule::due_at(state, u32::try_from(rung).unwrap_or_default(), now);
            let Some(next) = next else { continue };
            put_off.push(payment.id.uuid());
            rings.push(rung);
            times.push(next.to_datetime());
            due.push(Due {
                payment: payment.id,
                state: payment.state.name(),
                chain: payment.authorization.chain,
            });
        }
        sqlx::query!(
            "update payments p set due_at = u.due_at, rings = u.rings
             from unnest($1::uuid[], $2::integer[], $3::timestamptz[]) as u (id, rings, due_at)
             where p.id = u.id",
            &put_off,
            &rings,
            &times,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(due)
    }

    /// Deliveries that are due and that nobody is attempting, of every enabled endpoint in turn: the
    /// first of each, then the second of each, so that no endpoint's backlog hides another's.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn due_deliveries(
        &self,
        wanted: DueDeliveries<'_>,
        now: Timestamp,
    ) -> Result<Vec<DeliveryId>, StoreError> {
        let except: Vec<Uuid> = wanted.except.iter().map(|id| id.uuid()).collect();
        let ids = sqlx::query_scalar!(
            // The recursion leaps from endpoint to endpoint through the index, however many rows
            // each of them has.
            r#"with recursive waiting as (
                 (select endpoint_id from webhook_deliveries where state = 'pending'
                  order by endpoint_id limit 1)
                 union all
                 select (
                     select d.endpoint_id from webhook_deliveries d
                     where d.state = 'pending' and d.endpoint_id > w.endpoint_id
                     order by d.endpoint_id limit 1
                 )
                 from waiting w where w.endpoint_id is not null
             )
             select due.id as "id!"
             from waiting w
             join webhook_endpoints e on e.id = w.endpoint_id and e.state = 'enabled'
             cross join lateral (
                 select id, due_at, row_number() over (order by due_at) as turn
                 from (
                     select d.id, d.due_at from webhook_deliveries d
                     where d.endpoint_id = w.endpoint_id and d.state = 'pending'
                       and d.due_at <= $1 and (d.lease_until is null or d.lease_until < $1)
                       and d.id not in (select unnest($4::uuid[]))
                     order by d.due_at limit $3
                 ) first
             ) due
             order by due.turn, due.due_at limit $2"#,
            now.to_datetime(),
            wanted.limit,
            wanted.share,
            &except,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ids.into_iter().map(DeliveryId::new).collect())
    }

    /// How much is due; payments and deliveries are each counted up to `most`.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn backlog(&self, most: i64, now: Timestamp) -> Result<Backlog, StoreError> {
        let row = sqlx::query!(
            r#"with recursive waiting as (
                 (select endpoint_id from webhook_deliveries where state = 'pending'
                  order by endpoint_id limit 1)
                 union all
                 select (
                     select d.endpoint_id from webhook_deliveries d
                     where d.state = 'pending' and d.endpoint_id > w.endpoint_id
                     order by d.endpoint_id limit 1
                 )
                 from waiting w where w.endpoint_id is not null
             )
             select
                 (select count(*) from (
                     select 1 from payments where due_at <= $1 limit $2
                 ) p) as "payments!",
                 (select min(due_at) from payments where due_at <= $1) as oldest_payment,
                 open.held as "held!", open.oldest_submitted,
                 (select count(*) from (
                     select 1 from webhook_deliveries
                     where state = 'pending' and due_at <= $1 limit $2
                 ) d) as "deliveries!",
                 (select min(first.due_at) from waiting w cross join lateral (
                     select d.due_at from webhook_deliveries d
                     where d.endpoint_id = w.endpoint_id and d.state = 'pending' and d.due_at <= $1
                     order by d.due_at limit 1
                 ) first) as oldest_delivery
             from (
                 select least(count(*) filter (where state = 'held'), $2) as held,
                        min(updated_at) filter (where state = 'submitted') as oldest_submitted
                 -- Of what is under way, which is little; the fence keeps the planner from the rest.
                 from (
                     select state, updated_at from payments where due_at is not null offset 0
                 ) under_way
             ) open"#,
            now.to_datetime(),
            most,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(Backlog {
            payments: unsigned(row.payments)?,
            oldest_payment: row.oldest_payment.map(moment),
            oldest_submitted: row.oldest_submitted.map(moment),
            held: unsigned(row.held)?,
            deliveries: unsigned(row.deliveries)?,
            oldest_delivery: row.oldest_delivery.map(moment),
        })
    }
}
