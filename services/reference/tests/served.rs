//! What the API says of itself, as it is served.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use testkit::{Contract, Heard};
use tower::ServiceExt;

async fn get(path: &str) -> (HeaderMap, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = reference::router::<()>().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    let headers = response.headers().clone();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn each_is_served_as_the_document_says_and_kept_for_a_while() {
    let contract = Contract::committed();
    for path in ["/openapi.json", "/docs", "/llms.txt"] {
        let (headers, body) = get(path).await;
        assert_eq!(headers["cache-control"], "public, max-age=300", "{path}");
        let content_type = headers["content-type"].to_str().unwrap();
        let body = serde_json::from_str(&body).unwrap_or_default();
        let (method, content_type) = ("GET", Some(content_type));
        let heard = Heard { method, path, status: 200, content_type, body: &body };
        assert_eq!(contract.breach(&heard), None);
    }
}

#[tokio::test]
async fn the_document_is_the_committed_one() {
    let (_, body) = get("/openapi.json").await;
    assert_eq!(body, include_str!("../../../docs/openapi.json"));
}

#[tokio::test]
async fn the_page_shows_every_operation_schema_and_problem() {
    let (_, page) = get("/docs").await;
    let contract = Contract::committed();
    let components = &contract.document()["components"];
    for name in components["schemas"].as_object().unwrap().keys() {
        assert!(page.contains(&format!("id=\"schema-{name}\"")), "{name}");
    }
    for code in components["examples"].as_object().unwrap().keys() {
        assert!(page.contains(&format!("id=\"problem-{code}\"")), "{code}");
    }
    for item in contract.document()["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(page.contains(&format!("<article id=\"{id}\">")), "{id}");
        }
    }
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere_and_leads_only_to_what_is_there() {
    let (headers, page) = get("/docs").await;
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    for foreign in ["<script", "<link", "<img", "<iframe", "@import", "url(", " style="] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    for target in page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        let inside = target.strip_prefix('#');
        let there = inside.is_some_and(|id| page.contains(&format!("id=\"{id}\"")));
        assert!(there || ["/openapi.json", "/llms.txt"].contains(&target), "{target}");
    }
}

#[tokio::test]
async fn the_guide_names_only_routes_that_there_are() {
    let (_, guide) = get("/llms.txt").await;
    let contract = Contract::committed();
    let named = guide.split(['`', ' ', '(', ')', '?']).filter(|word| word.starts_with('/'));
    let named: Vec<&str> = named.collect();
    assert!(named.len() > 5, "{named:?}");
    for path in named {
        assert!(contract.document()["paths"].get(path).is_some(), "{path}");
    }
}
