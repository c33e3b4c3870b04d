//! What the API says of itself, beside its own routes.

use domain::Scope;
use reqwest::Method;
use serde_json::Value;
use testkit::Contract;

use crate::api::{Api, Told};

#[tokio::test]
async fn the_document_is_told_without_a_key() {
    let api = Api::start().await;
    let document = Told::by(api.anonymous(Method::GET, "/openapi.json")).await;
    assert_eq!(document.status, 200);
    assert!(document.body["paths"]["/v1/payments/{id}"]["get"].is_object());
}

/// Method, path and scope of every operation that the document wants a key for.
fn keyed(document: &Value) -> Vec<(Method, &String, Scope)> {
    let mut keyed = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let scope = &operation["security"][0]["api_key"][0];
            if let Some(scope) = scope.as_str() {
                let method: Method = method.to_uppercase().parse().unwrap();
                keyed.push((method, path, scope.parse().unwrap()));
            }
        }
    }
    keyed
}

#[tokio::test]
async fn every_operation_asks_for_the_scope_that_the_document_names() {
    let api = Api::start().await;
    let contract = Contract::committed();
    // The payment API's own: it is asked there.
    let elsewhere = (Method::POST, "/v1/payments");
    for (method, path, scope) in keyed(contract.document()) {
        if (&method, path.as_str()) == (&elsewhere.0, elsewhere.1) {
            continue;
        }
        let others: Vec<Scope> = Scope::ALL.into_iter().filter(|other| *other != scope).collect();
        let narrow = api.seller.another_key(&api.database.store, &others).await;
        let request = api.request(method.clone(), &path.replace("{id}", "x"), &narrow.key);
        assert_eq!(Told::by(request).await.problem(), (403, "forbidden"), "{method} {path}");
    }
}
