//! The OpenAPI document: what the services say of their routes, put together.

use runtime::problem::document as problems;
use serde_json::{Map, Value, json};
use utoipa::IntoResponses;
use utoipa::openapi::{
    ComponentsBuilder, Info, InfoBuilder, License, OpenApi, OpenApiBuilder, Server,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    tag::TagBuilder,
};

use crate::routes;

/// What a tag's operations are about, in the order in which they are shown.
const TAGS: [(&str, &str); 7] = [
    ("Payments", "Submit payments, see how they stand, wait for changes."),
    ("Facilitator", "What stock x402 servers ask, unchanged: verify, settle, supported."),
    ("Events", "What happened to an account's payments, in an order that never changes."),
    ("Webhook endpoints", "Where a seller is told of events, and every attempt to tell it."),
    (
        "Risk",
        "What a tenant allows, why payments were decided on as they were, and what agents tell the \
         local engine, where an installation has it.",
    ),
    ("Operating", "Payments on which somebody has to decide."),
    ("Reference", "What the API says of itself."),
];

const ABOUT: &str = "Quittance settles x402 payments. A seller posts a signed payment and has an \
    answer as soon as it is committed; what becomes of it is polled, streamed, or told to a \
    webhook.\n\nTwo services share these paths: `POST /v1/payments`, `/supported`, `/verify` \
    and `/settle` are the payment API's, all else the status API's. Amounts are decimal strings of a token's atomic units, networks CAIP-2, \
    times RFC 3339 in UTC. Every refusal is a problem (RFC 9457), whose `code` is stable.\n\nAnswers \
    tell how often may be asked, by `RateLimit` and `RateLimit-Policy`, and by `X-RateLimit-Limit`, \
    `X-RateLimit-Remaining` and `X-RateLimit-Reset`; whoever asks more often is told when to come again.";

/// The document of everything that these services serve, and of this crate's own routes.
///
/// Its members are sorted, so that the same code always gives the same text.
pub fn assemble(services: impl IntoIterator<Item = OpenApi>) -> Value {
    let base = OpenApiBuilder::new()
        .info(info())
        .servers(Some([Server::new("/")]))
        .tags(Some(
            TAGS.map(|(name, about)| TagBuilder::new().name(name).description(Some(about)).build()),
        ))
        .components(Some(components()))
        .build();
    let services = services.into_iter().chain([routes::api()]);
    let whole = services.fold(base, OpenApi::merge_from);
    let mut document = serde_json::to_value(whole).expect("an OpenAPI document is always JSON");
    document["components"]["examples"] = json!(problems::examples());
    document["components"]["headers"] = json!({"X-Request-Id": {
        "description": "Names the request, in our log too.",
        "schema": {"type": "string", "pattern": "^req_[0-9a-f]{32}$"},
    }});
    let at_the_door = json!(problems::Refused::<problems::AtTheDoor>::responses());
    for operation in operations(&mut document) {
        leave_out_null_headers(operation);
        tell_of_the_door(operation, &at_the_door);
        tell_who_may(operation);
        tell_request_id(operation);
    }
    sorted(document)
}

/// The document as it is committed and printed.
#[must_use]
pub fn to_text(document: &Value) -> String {
    let text = serde_json::to_string_pretty(document).expect("JSON is always JSON");
    text + "\n"
}

fn info() -> Info {
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    InfoBuilder::new()
        .title("Quittance")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(license))
        .build()
}

fn components() -> utoipa::openapi::Components {
    let bearer = |form: &str, about: &str| {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format(form);
        SecurityScheme::Http(scheme.description(Some(about)).build())
    };
    ComponentsBuilder::new()
        .schemas_from_iter(problems::schemas())
        .security_scheme(
            "api_key",
            bearer(
                "qtk_…",
                "A seller's API key. Its scopes are `payments:write`, `payments:read`, \
                 `webhooks`, `risk` and `ops`; each operation says which it needs.",
            ),
        )
        .security_scheme(
            "poll_token",
            bearer(
                "qtp_…",
                "The `poll_token` of one payment, which reads and follows that payment alone, \
                 until an hour after its end.",
            ),
        )
        .build()
}

fn operations(document: &mut Value) -> impl Iterator<Item = &mut Map<String, Value>> {
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    let methods = paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut);
    methods.filter_map(Value::as_object_mut)
}

/// A header that is not there is not there: it is never null.
fn leave_out_null_headers(operation: &mut Map<String, Value>) {
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten().filter(|it| it["in"] == "header") {
        let kind = &mut parameter["schema"]["type"];
        let only = kind.as_array().and_then(|kinds| kinds.iter().find(|&kind| kind != "null"));
        if let Some(only) = only.cloned() {
            *kind = only;
        }
    }
}

/// Says in words what `security` says.
fn tell_who_may(operation: &mut Map<String, Value>) {
    let choices = operation.get("security").and_then(Value::as_array);
    let ways: Vec<String> = choices
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .flatten()
        .map(|(scheme, scopes)| match scopes[0].as_str() {
            Some(scope) => format!("an API key with the scope `{scope}`"),
            None => format!("the payment's {}", scheme.replace('_', " ")),
        })
        .collect();
    if let Some(Value::String(description)) = operation.get_mut("description")
        && !ways.is_empty()
    {
        description.push_str(&format!("\n\nNeeds {}.", ways.join(", or ")));
    }
}

/// Every route is behind the same door.
fn tell_of_the_door(operation: &mut Map<String, Value>, answers: &Value) {
    let Some(Value::Object(responses)) = operation.get_mut("responses") else { return };
    for (status, answer) in answers.as_object().into_iter().flatten() {
        responses.entry(status).or_insert_with(|| answer.clone());
    }
}

fn tell_request_id(operation: &mut Map<String, Value>) {
    let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
    for response in responses.into_iter().flat_map(Map::values_mut) {
        response["headers"]["X-Request-Id"] = json!({"$ref": "#/components/headers/X-Request-Id"});
    }
}

/// The same with the members of each object in the order of their names, however the map keeps them.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> = members.into_iter().collect();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            members.into_iter().map(|(name, member)| (name, sorted(member))).collect()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        scalar @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => scalar,
    }
}
