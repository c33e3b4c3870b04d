//! `GET /v1/event_types`: what endpoints can be told of.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use domain::{
    AccountId, EndpointEvent, EventId, EventType, Scope, Timestamp, WebhookBody, example_event,
};
use runtime::problem::document::{Keyed, Refused, Stored};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};
use uuid::Uuid;

use crate::refusal::Refusal;
use crate::{App, example};

/// Where the API's document keeps its schemas, and where a schema that stands alone does.
const IN_DOCUMENT: &str = "#/components/schemas/";
const ALONE: &str = "#/$defs/";

/// A type of event, with the shape of the webhook that tells of it.
#[derive(Serialize, ToSchema)]
#[schema(as = EventTypeDescription)]
struct EventTypeResource {
    r#type: EventType,
    /// Whether an endpoint that names no types hears of it.
    default: bool,
    /// The JSON Schema of the body (2020-12).
    #[schema(value_type = Object)]
    schema: Value,
    /// A body, made up.
    #[schema(value_type = Object)]
    example: Value,
}

#[derive(Serialize, ToSchema)]
#[schema(as = EventTypeList)]
struct EventTypes {
    data: Vec<EventTypeResource>,
}

/// Every type of event that endpoints can be told of.
#[utoipa::path(
    get,
    path = "/v1/event_types",
    tag = "Webhook endpoints",
    summary = "List the types of events",
    description = "Each with the JSON Schema of its webhook's body, and an example.",
    responses(
        (status = 200, body = EventTypes, description = "The types.", example = example::event_types),
        Refused<(Keyed, Stored)>,
    ),
    security(("api_key" = ["webhooks"])),
)]
pub(crate) async fn list_event_types(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    app.caller(&headers, Scope::Webhooks).await?;
    Ok(Json(EventTypes { data: EventType::ALL.map(describe).into() }).into_response())
}

/// A type as the list shows it.
pub(crate) fn described(kind: EventType) -> Value {
    json!(describe(kind))
}

fn describe(kind: EventType) -> EventTypeResource {
    let tells_of_endpoint =
        matches!(kind, EventType::EndpointFailing | EventType::EndpointDisabled);
    let schema = match tells_of_endpoint {
        true => alone::<EndpointEvent<'static>>(kind),
        false => alone::<WebhookBody<'static>>(kind),
    };
    let (id, account) = (EventId::new(Uuid::from_u128(4)), AccountId::new(Uuid::from_u128(5)));
    let at = Timestamp::from_unix_ms(1_772_366_407_412);
    EventTypeResource {
        r#type: kind,
        default: EventType::DEFAULT.contains(&kind),
        schema,
        example: example_event(kind, id, account, at),
    }
}

/// The schema of a body of this type, with all that it refers to.
fn alone<T: ToSchema>(kind: EventType) -> Value {
    let mut parts: Vec<(String, RefOr<Schema>)> = Vec::new();
    T::schemas(&mut parts);
    let definitions: Map<String, Value> =
        parts.into_iter().map(|(name, part)| (name, json!(part))).collect();
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind,
        "allOf": [json!(T::schema()), {"properties": {"type": {"const": kind}}}],
        "$defs": definitions,
    });
    refer_here(&mut schema);
    schema
}

/// Lets references lead to the schema's own parts.
fn refer_here(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get_mut("$ref")
                && let Some(name) = reference.strip_prefix(IN_DOCUMENT)
            {
                *reference = format!("{ALONE}{name}");
            }
            members.values_mut().for_each(refer_here);
        }
        Value::Array(items) => items.iter_mut().for_each(refer_here),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
