//! What the API says of itself, beside its own routes.

use reqwest::Method;

use crate::api::{Api, Told};

#[tokio::test]
async fn the_document_is_told_without_a_key() {
    let api = Api::start().await;
    let document = Told::by(api.anonymous(Method::GET, "/openapi.json")).await;
    assert_eq!(document.status, 200);
    assert!(document.body["paths"]["/v1/payments/{id}"]["get"].is_object());
}
