//! `PATCH /v1/webhook_endpoints/{id}`

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use domain::{EndpointId, Scope};
use runtime::problem::document::{Absent, Bodied, Keyed, Refused, Stored};
use runtime::{ProblemCode, json};
use store::EndpointUpdate;

use super::EndpointResource;
use super::create::{NotCallable, callable, event_types};
use super::terms::EndpointWanted;
use crate::refusal::{Refusal, id};
use crate::{App, example};

/// Changes an endpoint; what is not named stays. What is on its way
/// goes to the new URL.
#[utoipa::path(
    patch,
    path = "/v1/webhook_endpoints/{id}",
    tag = "Webhook endpoints",
    summary = "Change an endpoint",
    description = "What is not named stays. What is on its way goes to the new URL.",
    params(("id" = EndpointId, Path, description = "The endpoint.")),
    request_body(content = EndpointWanted, example = example::changed_endpoint),
    responses(
        (status = 200, body = EndpointResource<'_>, description = "The endpoint as it is now.",
            example = example::endpoint),
        Refused<(Keyed, Absent, Bodied, NotCallable, Stored)>,
    ),
    security(("api_key" = ["webhooks"])),
)]
pub(crate) async fn update_endpoint(
    State(app): State<App>,
    Path(endpoint): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = app.caller(request.headers(), Scope::Webhooks).await?;
    let endpoint = id(&endpoint)?;
    let wanted: EndpointWanted = json::parse(&json::read_body(request).await?)?;
    let targets = app.settings().targets;
    let terms = wanted.change_of_terms()?;
    let update = EndpointUpdate {
        url: wanted.url.map(|url| callable(&url, targets)).transpose()?,
        event_types: wanted.event_types.map(|named| event_types(Some(named))).transpose()?,
        ..terms
    };
    let updated = app.store().update_endpoint(caller.account, endpoint, &update, app.now()).await?;
    let endpoint = updated.ok_or(ProblemCode::NotFound)?;
    Ok(Json(EndpointResource::new(&endpoint)).into_response())
}
