//! `GET /openapi.json`, `GET /docs` and `GET /llms.txt`

use std::sync::LazyLock;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::page::Page;

/// The document as it was committed.
const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

/// What an agent has to know, on one page.
const GUIDE: &str = include_str!("llms.txt");

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
    OpenApiRouter::default()
        .routes(routes!(show_document))
        .routes(routes!(show_page))
        .routes(routes!(show_guide))
}

/// The document itself.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "Reference",
    summary = "This document",
    description = "Every path, answer and problem of the API (OpenAPI 3.1).",
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

/// The document for people.
#[utoipa::path(
    get,
    path = "/docs",
    tag = "Reference",
    summary = "This document, to be read",
    description = "The same as a page that needs nothing else: no scripts, nothing from elsewhere.",
    responses((
        status = 200, body = String, content_type = "text/html",
        description = "The page.",
        headers(("Cache-Control" = String, description = "`public, max-age=300`")),
        example = json!("<!doctype html>…")
    )),
)]
async fn show_page() -> impl IntoResponse {
    static PAGE: LazyLock<Page> = LazyLock::new(|| Page::of(DOCUMENT));
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let headers = [
        (CONTENT_TYPE, html),
        (CACHE_CONTROL, FOR_A_WHILE),
        (CONTENT_SECURITY_POLICY, PAGE.policy.clone()),
    ];
    (headers, PAGE.html.as_str())
}

/// The guide for agents.
#[utoipa::path(
    get,
    path = "/llms.txt",
    tag = "Reference",
    summary = "A guide for agents",
    description = "What this service is, and how a seller submits and a buyer's agent polls.",
    responses((
        status = 200, body = String, content_type = "text/plain",
        description = "The guide, in Markdown.",
        headers(("Cache-Control" = String, description = "`public, max-age=300`")),
        example = json!("# Quittance\n…")
    )),
)]
async fn show_guide() -> impl IntoResponse {
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    ([(CONTENT_TYPE, text), (CACHE_CONTROL, FOR_A_WHILE)], GUIDE)
}
