//! What the API says of itself, beside its own route.

use crate::shop::{Shop, Told};

#[tokio::test]
async fn the_document_is_told_without_a_key() {
    let shop = Shop::open().await;
    let document = Told::by(shop.http().get(shop.url("/openapi.json"))).await;
    assert_eq!(document.status, 200);
    assert!(document.body["paths"]["/v1/payments"]["post"].is_object());
}
