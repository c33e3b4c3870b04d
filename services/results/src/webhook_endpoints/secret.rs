//! `GET /v1/webhook_endpoints/{id}/secret` and `POST …/secret/rotate`

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use domain::schema::constant;
use domain::{EndpointId, Scope, Timestamp};
use receipt::{endpoint_key, public_key_text};
use runtime::problem::document::{Absent, Bodied, Codes, Contested, Keyed, Refused, Stored};
use runtime::{FieldError, Problem, ProblemCode, json};
use serde::{Deserialize, Serialize};
use store::{NewSecret, Rotation};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::refusal::{Refusal, id};
use crate::webhook_secret::{WebhookSecret, reveal};
use crate::{App, example};

/// How long deliveries are signed with both secrets, unless the owner says otherwise, and at most.
const USUAL_OVERLAP_SECS: u64 = 24 * 3_600;
const MAX_OVERLAP_SECS: u64 = 7 * 24 * 3_600;

/// The secret that deliveries are signed with.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookSecret)]
struct SecretResource {
    #[schema(schema_with = secret_object)]
    object: &'static str,
    #[schema(pattern = "^whsec_")]
    secret: String,
    /// What verifies `v1a`, where the endpoint is told with it.
    #[schema(pattern = "^whpk_")]
    public_key: String,
    /// Until when deliveries are signed with the secret before this one as well.
    #[schema(required = true)]
    previous_expires_at: Option<Timestamp>,
}

fn secret_object() -> RefOr<Schema> {
    constant("webhook_secret")
}

impl SecretResource {
    fn answer(secret: &[u8], previous_expires_at: Option<Timestamp>) -> Response {
        let public_key = public_key_text(&endpoint_key(secret));
        let object = "webhook_secret";
        let body = Self { object, secret: reveal(secret), public_key, previous_expires_at };
        let mut response = Json(body).into_response();
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// Shows the secret that counts.
#[utoipa::path(
    get,
    path = "/v1/webhook_endpoints/{id}/secret",
    tag = "Webhook endpoints",
    summary = "See an endpoint's secret",
    description = "The secret that counts.",
    params(("id" = EndpointId, Path, description = "The endpoint.")),
    responses(
        (status = 200, body = SecretResource, description = "The secret.",
            example = example::secret),
        Refused<(Keyed, Absent, Stored)>,
    ),
    security(("api_key" = ["webhooks"])),
)]
pub(crate) async fn show_secret(
    State(app): State<App>,
    Path(endpoint): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers, Scope::Webhooks).await?;
    let found = app.store().endpoint_secrets(caller.account, id(&endpoint)?, app.now()).await?;
    let secrets = found.ok_or(ProblemCode::NotFound)?;
    Ok(SecretResource::answer(&secrets.current, secrets.old_until))
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Rotation, description = "How a secret is to be replaced.")]
struct Wanted {
    /// How long deliveries are signed with both secrets; a day, unless it is said.
    #[serde(default)]
    #[schema(maximum = 604_800)]
    overlap_seconds: Option<u64>,
}

/// Two secrets may not be in use for so long.
enum TooLong {}

impl Codes for TooLong {
    fn codes() -> Vec<ProblemCode> {
        vec![ProblemCode::MalformedField]
    }
}

/// Makes a new secret, which counts from now on. For a while deliveries are signed with the one
/// before it as well; with an overlap of 0, after a leak, with nothing but the new one.
#[utoipa::path(
    post,
    path = "/v1/webhook_endpoints/{id}/secret/rotate",
    tag = "Webhook endpoints",
    summary = "Replace an endpoint's secret",
    description = "Makes a new secret, which counts from now on. For a while deliveries are signed \
        with the one before it as well; with an overlap of 0, after a leak, with nothing but the \
        new one.",
    params(("id" = EndpointId, Path, description = "The endpoint.")),
    request_body(content = Option<Wanted>, description = "It may be left out, with its \
        `Content-Type`.", example = json!({"overlap_seconds": 86_400})),
    responses(
        (status = 200, body = SecretResource, description = "The new secret.",
            example = example::rotated_secret),
        Refused<(Keyed, Absent, (Bodied, TooLong), Contested, Stored)>,
    ),
    security(("api_key" = ["webhooks"])),
)]
pub(crate) async fn rotate_secret(
    State(app): State<App>,
    Path(endpoint): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = app.caller(request.headers(), Scope::Webhooks).await?;
    let endpoint: EndpointId = id(&endpoint)?;
    let wanted: Wanted = json::optional_body(request).await?;
    let overlap = wanted.overlap_seconds.unwrap_or(USUAL_OVERLAP_SECS);
    if overlap > MAX_OVERLAP_SECS {
        let detail = format!("must be at most {MAX_OVERLAP_SECS}, a week");
        return Err(Problem::new(ProblemCode::MalformedField)
            .detail("Two secrets are not in use for so long")
            .field(FieldError::new("/overlap_seconds", "too_large", detail))
            .into());
    }
    let (now, secret) = (app.now(), WebhookSecret::generate());
    let old_until = (overlap > 0).then(|| now.plus(Duration::from_secs(overlap)));
    let new = NewSecret { secret: secret.to_bytes(), old_until };
    match app.store().rotate_secret(caller.account, endpoint, &new, now).await? {
        Rotation::Done => Ok(SecretResource::answer(&new.secret, old_until)),
        Rotation::TooSoon(until) => Err(Problem::new(ProblemCode::Conflict)
            .detail(format!(
                "Receivers may use the previous secret until {until}; rotate after that, or with \
                 an overlap of 0, which ends it now"
            ))
            .into()),
        Rotation::Unknown => Err(ProblemCode::NotFound.into()),
    }
}
