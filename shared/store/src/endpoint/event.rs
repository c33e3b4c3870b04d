//! Events that tell of an endpoint, on their way to the account's other endpoints.

use domain::{AccountId, DeliveryId, EndpointEvent, EndpointId, EndpointNews, EventId, Timestamp};
use sqlx::PgTransaction;
use uuid::Uuid;

use crate::StoreError;

/// Writes that this happened to an endpoint, and one delivery of it for each other endpoint of the
/// account that wants to hear of it.
pub(super) async fn tell_others(
    tx: &mut PgTransaction<'_>,
    endpoint: EndpointId,
    news: EndpointNews<'_>,
    now: Timestamp,
) -> Result<Vec<DeliveryId>, StoreError> {
    let event = EventId::new(Uuid::now_v7());
    let account = sqlx::query_scalar!(
        "insert into endpoint_events (id, account_id, endpoint_id, type, at)
         select $1, account_id, id, $3, $4 from webhook_endpoints where id = $2
         returning account_id",
        event.uuid(),
        endpoint.uuid(),
        news.kind().as_str(),
        now.to_datetime(),
    )
    .fetch_one(&mut **tx)
    .await?;
    let body = EndpointEvent::new(event, AccountId::new(account), endpoint, news, now).to_bytes();
    let others = sqlx::query_scalar!(
        // Locked for the same reason as when a payment's change is announced.
        "select id from webhook_endpoints
         where account_id = $1 and id <> $2 and state = 'enabled' and $3 = any(event_types)
         order by id for share",
        account,
        endpoint.uuid(),
        news.kind().as_str(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let ids: Vec<Uuid> = others.iter().map(|_| Uuid::now_v7()).collect();
    sqlx::query!(
        "insert into webhook_deliveries (
             id, endpoint_id, account_id, event_id, payment_id, event_type, body, state, due_at,
             created_at
         )
         select id, endpoint_id, $3, $4, $5, $6, $7, 'pending', $8, $8
         from unnest($1::uuid[], $2::uuid[]) as new (id, endpoint_id)",
        &ids,
        &others,
        account,
        event.uuid(),
        Uuid::nil(),
        news.kind().as_str(),
        body,
        now.to_datetime(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(ids.into_iter().map(DeliveryId::new).collect())
}
