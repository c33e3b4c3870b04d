//! What a seller sees when all is well.

use domain::Address;
use testkit::Buyer;
use x402::Version;

use crate::pipeline::Pipeline;

#[tokio::test]
async fn posted_payments_are_settled_and_the_seller_is_told() {
    let pipeline = Pipeline::start().await;
    let buyer = pipeline.buyer(300).await;
    let signed: Vec<_> = (0..3).map(|_| pipeline.sign(&buyer, 100)).collect();

    let payments = [
        pipeline.pay(&signed[0].body(Version::V1)).await,
        pipeline.pay(&signed[1].body(Version::V2)).await,
        pipeline.pay(&signed[2].body_with_header(Version::V2)).await,
    ];

    pipeline.assert_settled_and_told(&payments).await;
}

#[tokio::test]
async fn one_process_with_every_role_does_the_same_and_stops_when_it_is_told_to() {
    let mut pipeline = Pipeline::in_one_process().await;
    let buyer = pipeline.buyer(100).await;
    let payment = pipeline.pay(&pipeline.sign(&buyer, 100).body(Version::V2)).await;
    pipeline.assert_settled_and_told(&[payment]).await;

    let ended = pipeline.processes.remove("all").unwrap().stop().await;

    assert!(ended.success(), "{ended}");
}

#[tokio::test]
async fn a_buyer_who_cannot_pay_is_rejected_and_the_seller_is_told_why() {
    let pipeline = Pipeline::start().await;
    let broke = pipeline.buyer(99).await;
    let payment = pipeline.pay(&pipeline.sign(&broke, 100).body(Version::V2)).await;

    let over = pipeline.wait_until_over(std::slice::from_ref(&payment)).await;

    assert_eq!(over[&payment]["status"], "rejected");
    assert_eq!(over[&payment]["failure"]["code"], "insufficient_funds");
    assert_eq!(over[&payment]["failure"]["safe_to_resign"], false);
    let told = pipeline.receiver.wait_for(1, crate::pipeline::DEADLINE).await;
    assert_eq!(told[0].json()["type"], "payment.rejected");
}

#[tokio::test]
async fn a_contract_wallet_pays_by_its_owners_signature_and_by_nobody_elses() {
    let pipeline = Pipeline::start().await;
    let (wallet, owner) = (Address::repeat_byte(0xa1), Buyer::new());
    pipeline.anvil.mint(wallet, 100u64).await;
    pipeline.anvil.make_wallet_of(owner.address(), wallet).await;
    let signed_by = |signer: &Buyer| {
        let authorization = signer.authorize().payer(wallet).pay_to(pipeline.pay_to);
        authorization.amount(100u64).sign().body(Version::V2)
    };
    let forged = pipeline.pay(&signed_by(&Buyer::new())).await;
    let over = pipeline.wait_until_over(std::slice::from_ref(&forged)).await;
    assert_eq!(over[&forged]["failure"]["code"], "invalid_signature");
    assert_eq!(over[&forged]["failure"]["safe_to_resign"], false);

    let paid = pipeline.pay(&signed_by(&owner)).await;

    let over = pipeline.wait_until_over(std::slice::from_ref(&paid)).await;
    assert_eq!(over[&paid]["status"], "settled");
}

#[tokio::test]
async fn every_role_says_whether_it_is_well_and_names_what_is_not() {
    let mut pipeline = Pipeline::start().await;
    let roles: Vec<String> = pipeline.processes.keys().cloned().collect();
    for role in &roles {
        let base = pipeline.operator(role).await;
        let (status, _) = pipeline.get(&format!("{base}/readyz")).await.unwrap();
        assert_eq!(status, 200, "{role} is not ready");
    }

    pipeline.redis.kill();

    for role in &roles {
        let base = pipeline.operator(role).await;
        let (status, report) = pipeline.get(&format!("{base}/readyz")).await.unwrap();
        assert_eq!(status, 503, "{role}: {report}");
        let checks = report["checks"].as_array().unwrap();
        let failing: Vec<_> = checks.iter().filter(|check| check["ok"] == false).collect();
        assert_eq!(failing.len(), 1, "{report}");
        assert_eq!(failing[0]["name"], "redis");
    }
}
