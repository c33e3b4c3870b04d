//! Whose is what, and who may do what.

use domain::{Event, Scope};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use testkit::Seller;

use crate::api::{Api, Told};

/// Every route that names something, with something of the API's own seller in its place.
async fn routes(api: &Api) -> Vec<(Method, String, Scope)> {
    let url = "https://seller.example/hook";
    let made = api.endpoint(json!({"url": url, "event_types": ["payment.canceled"]})).await;
    let endpoint = made.text("id");
    let told = api.payment().await;
    let (payment, advance) = api.advance_untold(&told, Event::Canceled).await;
    let (payment, delivery) = (payment.id, advance.deliveries[0]);
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    let patch = Method::PATCH;
    let endpoint = format!("/v1/webhook_endpoints/{endpoint}");
    vec![
        (get.clone(), format!("/v1/payments/{payment}"), Scope::PaymentsRead),
        (get.clone(), format!("/v1/payments/{payment}?wait=3600"), Scope::PaymentsRead),
        (get.clone(), format!("/v1/payments/{payment}/stream"), Scope::PaymentsRead),
        (post.clone(), format!("/v1/payments/{payment}/cancel"), Scope::PaymentsWrite),
        (get.clone(), endpoint.clone(), Scope::Webhooks),
        (patch, endpoint.clone(), Scope::Webhooks),
        (get.clone(), format!("{endpoint}/secret"), Scope::Webhooks),
        (post.clone(), format!("{endpoint}/secret/rotate"), Scope::Webhooks),
        (get.clone(), format!("{endpoint}/deliveries"), Scope::Webhooks),
        (get, format!("/v1/webhook_deliveries/{delivery}/attempts"), Scope::Webhooks),
        (post.clone(), format!("/v1/webhook_deliveries/{delivery}/redeliver"), Scope::Webhooks),
        (post.clone(), format!("{endpoint}/disable"), Scope::Webhooks),
        (post, format!("{endpoint}/enable"), Scope::Webhooks),
        (delete, endpoint, Scope::Webhooks),
    ]
}

/// A request with all that its route needs.
fn asked(api: &Api, method: &Method, path: &str, key: &str) -> RequestBuilder {
    let request = api.request(method.clone(), path, key);
    if *method == Method::PATCH { request.json(&json!({})) } else { request }
}

#[tokio::test]
async fn what_belongs_to_another_account_is_not_there() {
    let api = Api::start().await;
    let stranger = Seller::create(&api.database.store).await;
    let routes = routes(&api).await;
    for (method, path, _) in &routes {
        let told = Told::by(asked(&api, method, path, &stranger.key)).await;
        assert_eq!(told.problem(), (404, "not_found"), "{method} {path}");
    }
    // Its owner finds it unharmed afterwards.
    for (method, path, _) in &routes {
        let told = Told::by(asked(&api, method, path, &api.seller.key)).await;
        assert!(told.status < 300, "{method} {path}: {}", told.status);
    }
}

#[tokio::test]
async fn lists_hold_nothing_of_another_account() {
    let api = Api::start().await;
    let stranger = Seller::create(&api.database.store).await;
    routes(&api).await;
    for path in ["/v1/payments", "/v1/webhook_endpoints"] {
        let told = Told::by(api.request(Method::GET, path, &stranger.key)).await;
        assert_eq!((told.status, &told.body["data"]), (200, &json!([])), "{path}");
    }
}

#[tokio::test]
async fn every_route_asks_for_a_key_with_its_scope() {
    let api = Api::start().await;
    let mut routes = routes(&api).await;
    for path in ["/v1/payments", "/v1/events", "/v1/events/stream", "/v1/events/evt_x"] {
        routes.push((Method::GET, path.to_owned(), Scope::PaymentsRead));
    }
    routes.push((Method::GET, "/v1/webhook_endpoints".to_owned(), Scope::Webhooks));
    routes.push((Method::POST, "/v1/webhook_endpoints".to_owned(), Scope::Webhooks));
    for (method, path, scope) in routes {
        let others: Vec<Scope> = Scope::ALL.into_iter().filter(|other| *other != scope).collect();
        let narrow = api.seller.another_key(&api.database.store, &others).await;
        let told = Told::by(asked(&api, &method, &path, &narrow.key)).await;
        assert_eq!(told.problem(), (403, "forbidden"), "{method} {path}");
        let told = Told::by(api.anonymous(method.clone(), &path)).await;
        assert_eq!(told.problem(), (401, "unauthorized"), "{method} {path}");
    }
}
