//! `GET /openapi.json`

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The document as it was committed.
pub(crate) const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

/// Nothing here changes while a process runs.
const FOR_A_WHILE: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The routes that both services have beside their own.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    routes().split_for_parts().0
}

/// The description of these routes.
pub(crate) fn api() -> OpenApi {
    routes::<()>().into_openapi()
}

fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::default().routes(routes!(show_document))
}

/// The document itself.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "Reference",
    summary = "This document",
    description = "What you read: every path, answer and problem of the API (OpenAPI 3.1).",
    responses((
        status = 200, body = Object, content_type = "application/json",
        description = "The document.",
        headers(("Cache-Control" = String, description = "`public, max-age=300`")),
        example = json!({"openapi": "3.1.0"})
    )),
)]
async fn show_document() -> impl IntoResponse {
    let json = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, json), (CACHE_CONTROL, FOR_A_WHILE)], DOCUMENT)
}
