//! Events, put on their way to the endpoints that want to hear of them.

use std::collections::HashSet;

use domain::{AccountId, DeliveryId, Standing, WebhookBody, WebhookEvent};
use sqlx::PgTransaction;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::StoreError;
use crate::timeline::NewEvent;

/// Writes one delivery for each endpoint that wants to hear of a change.
pub(crate) async fn announce(
    tx: &mut PgTransaction<'_>,
    events: &[NewEvent<'_>],
) -> Result<Vec<DeliveryId>, StoreError> {
    let accounts: HashSet<Uuid> = events.iter().map(|event| event.payment.account.uuid()).collect();
    let types: HashSet<String> =
        events.iter().map(|event| event.kind.as_str().to_owned()).collect();
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    let endpoints = sqlx::query!(
        // Locked, so that an endpoint is deleted or disabled either before, and then hears nothing,
        // or after, and then what is on its way is canceled or held.
        "select id, account_id, event_types from webhook_endpoints
         where account_id = any($1) and state = 'enabled' and event_types && $2
         order by id for share",
        &accounts.into_iter().collect::<Vec<_>>(),
        &types.into_iter().collect::<Vec<_>>(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut rows = DeliveryRows::default();
    for event in events {
        let wanting = endpoints.iter().filter(|endpoint| {
            AccountId::new(endpoint.account_id) == event.payment.account
                && endpoint.event_types.iter().any(|wanted| wanted == event.kind.as_str())
        });
        for endpoint in wanting {
            rows.push(event, endpoint.id);
        }
    }
    rows.insert(tx).await
}

#[derive(Default)]
struct DeliveryRows {
    ids: Vec<Uuid>,
    endpoints: Vec<Uuid>,
    accounts: Vec<Uuid>,
    events: Vec<Uuid>,
    payments: Vec<Uuid>,
    types: Vec<String>,
    bodies: Vec<Vec<u8>>,
    times: Vec<OffsetDateTime>,
}

impl DeliveryRows {
    fn push(&mut self, event: &NewEvent<'_>, endpoint: Uuid) {
        let webhook = WebhookEvent {
            id: event.id,
            kind: event.kind,
            payment: event.payment,
            standing: Standing::of(event.payment, event.carrier),
        };
        self.ids.push(Uuid::now_v7());
        self.endpoints.push(endpoint);
        self.accounts.push(event.payment.account.uuid());
        self.events.push(event.id.uuid());
        self.payments.push(event.payment.id.uuid());
        self.types.push(event.kind.as_str().to_owned());
        self.bodies.push(WebhookBody::new(&webhook).to_bytes());
        self.times.push(event.payment.updated_at.to_datetime());
    }

    async fn insert(self, tx: &mut PgTransaction<'_>) -> Result<Vec<DeliveryId>, StoreError> {
        if self.ids.is_empty() {
            return Ok(Vec::new());
        }
        sqlx::query!(
            "insert into webhook_deliveries (
                 id, endpoint_id, account_id, event_id, payment_id, event_type, body, state,
                 due_at, created_at
             )
             select id, endpoint_id, account_id, event_id, payment_id, event_type, body, 'pending',
                    at, at
             from unnest(
                 $1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[],
                 $7::bytea[], $8::timestamptz[]
             ) as new (id, endpoint_id, account_id, event_id, payment_id, event_type, body, at)",
            &self.ids,
            &self.endpoints,
            &self.accounts,
            &self.events,
            &self.payments,
            &self.types,
            &self.bodies,
            &self.times,
        )
        .execute(&mut **tx)
        .await?;
        Ok(self.ids.into_iter().map(DeliveryId::new).collect())
    }
}
