//! `GET /v1/webhook_endpoints/{id}/secret` and `POST …/secret/rotate`

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use domain::{EndpointId, Scope, Timestamp};
use receipt::{endpoint_key, public_key_text};
use runtime::{FieldError, Problem, ProblemCode, json};
use serde::{Deserialize, Serialize};
use store::{NewSecret, Rotation};

use crate::App;
use crate::refusal::{Refusal, id};
use crate::webhook_secret::{WebhookSecret, reveal};

/// How long deliveries are signed with both secrets, unless the owner says otherwise, and at most.
const USUAL_OVERLAP_SECS: u64 = 24 * 3_600;
const MAX_OVERLAP_SECS: u64 = 7 * 24 * 3_600;

#[derive(Serialize)]
struct SecretResource {
    object: &'static str,
    secret: String,
    /// What verifies `v1a`, where the endpoint is told with it.
    public_key: String,
    /// Until when deliveries are signed with the secret before this one as well.
    previous_expires_at: Option<Timestamp>,
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

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    overlap_seconds: Option<u64>,
}

/// Makes a new secret, which counts from now on. For a while deliveries are signed with the one
/// before it as well; with an overlap of 0, after a leak, with nothing but the new one.
pub(crate) async fn rotate_secret(
    State(app): State<App>,
    Path(endpoint): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = app.caller(request.headers(), Scope::Webhooks).await?;
    let endpoint: EndpointId = id(&endpoint)?;
    let wanted = match request.headers().contains_key(CONTENT_TYPE) {
        true => json::parse(&json::read_body(request).await?)?,
        false => Wanted::default(),
    };
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
