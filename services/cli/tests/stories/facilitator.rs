//! Stock x402 servers settle through the whole pipeline.

use domain::{Address, B256};
use futures::future::join_all;
use serde_json::{Value, json};
use testkit::{Anvil, Buyer, eventually};
use x402::Version;

use crate::pipeline::{DEADLINE, Pipeline};

impl Pipeline {
    /// What the facilitator answers, once it does.
    async fn ask(&self, path: &str, body: &Value) -> Value {
        eventually(DEADLINE, || async {
            let (status, answer) =
                self.post(&format!("{}{path}", self.ingress().await), body).await?;
            (status == 200).then_some(answer)
        })
        .await
    }

    /// Asks to settle, again while that is pending, as stock servers do once.
    async fn settle(&self, body: &Value) -> Value {
        let first = self.ask("/settle", body).await;
        match first["errorReason"] == "settlement_pending" {
            true => {
                assert_ne!(first["transaction"], "", "pending without a transaction: {first}");
                self.ask("/settle", body).await
            }
            false => first,
        }
    }
}

#[tokio::test]
async fn a_payment_is_verified_settled_and_told_with_the_transaction_that_moved_the_money() {
    let pipeline = Pipeline::start().await;
    let buyer = pipeline.buyer(1_000).await;
    for version in [Version::V1, Version::V2] {
        let signed = pipeline.sign(&buyer, 100);
        let body = signed.body(version);
        assert_eq!(pipeline.ask("/verify", &body).await["isValid"], true);

        let settled = pipeline.settle(&body).await;

        assert_eq!(settled["success"], true, "{settled}");
        let moved = pipeline.anvil.transfers_to(pipeline.pay_to).await;
        let moved: Vec<Value> = moved.iter().map(|moved| json!(moved.tx_hash)).collect();
        assert!(moved.contains(&settled["transaction"]), "{settled}");
        assert_eq!(settled["network"], body["paymentRequirements"]["network"]);
        assert_eq!(settled["extra"]["quittance"]["status"], "settled");
        // What is paid is not valid once more, and is the same settlement.
        let again = pipeline.ask("/verify", &body).await;
        assert_eq!(again["invalidReason"], "invalid_exact_evm_nonce_already_used");
        assert_eq!(pipeline.settle(&body).await, settled);
    }
}

#[tokio::test]
async fn one_payment_that_is_settled_many_times_at_once_across_a_crash_is_one_settlement() {
    let mut pipeline = Pipeline::start().await;
    let buyer = pipeline.buyer(1_000).await;
    let body = pipeline.sign(&buyer, 100).body(Version::V2);

    let settled = join_all((0..8).map(|_| pipeline.settle(&body))).await;
    pipeline.crash(&["ingress"]);
    pipeline.start_role(&["ingress"]);
    let after = pipeline.settle(&body).await;

    assert_eq!(after["success"], true, "{after}");
    assert!(settled.iter().all(|one| *one == after), "{settled:?}");
    assert_eq!(pipeline.anvil.transfers_to(pipeline.pay_to).await.len(), 1);
}

#[tokio::test]
async fn payments_that_come_at_once_are_all_settled_and_one_that_was_posted_before_is_found() {
    let pipeline = Pipeline::start().await;
    let buyer = pipeline.buyer(10_000).await;
    let bodies: Vec<Value> =
        (0..30).map(|_| pipeline.sign(&buyer, 100).body(Version::V2)).collect();
    let posted = pipeline.pay(&bodies[0]).await;

    let settled = join_all(bodies.iter().map(|body| pipeline.settle(body))).await;

    assert!(settled.iter().all(|one| one["success"] == true), "{settled:?}");
    assert_eq!(settled[0]["extra"]["quittance"]["payment_id"], json!(posted));
    assert_eq!(pipeline.anvil.transfers_to(pipeline.pay_to).await.len(), bodies.len());
}

#[tokio::test]
async fn a_payment_that_cannot_be_paid_is_told_with_the_reason() {
    let pipeline = Pipeline::start().await;
    let buyer = pipeline.buyer(50).await;
    let body = pipeline.sign(&buyer, 100).body(Version::V2);
    let settled = pipeline.settle(&body).await;
    assert_eq!((&settled["success"], &settled["transaction"]), (&json!(false), &json!("")));
    assert_eq!(settled["errorReason"], "invalid_exact_evm_insufficient_balance");
}

#[tokio::test]
async fn wallets_pay_by_what_their_code_says_deployed_delegated_or_yet_to_be_deployed() {
    let pipeline = Pipeline::start().await;
    let (owner, delegated) = (Buyer::new(), pipeline.buyer(1_000).await);
    let wallet = Address::repeat_byte(0xa1);
    let (undeployed, signature) = Anvil::undeployed_wallet(B256::repeat_byte(7));
    for payer in [wallet, undeployed] {
        pipeline.anvil.mint(payer, 1_000u64).await;
    }
    pipeline.anvil.make_wallet_of(owner.address(), wallet).await;
    let delegate = Address::repeat_byte(0xde);
    pipeline.anvil.delegate_to_wallet(delegated.address(), delegate, owner.address()).await;
    let sign = |buyer: &Buyer, payer| {
        buyer.authorize().payer(payer).pay_to(pipeline.pay_to).amount(100u64).sign()
    };
    let good = [
        sign(&owner, wallet),
        sign(&owner, delegated.address()),
        sign(&owner, undeployed).with_signature(signature),
    ];
    for signed in &good {
        let body = signed.body(Version::V2);
        assert_eq!(pipeline.ask("/verify", &body).await["isValid"], true);
        let settled = pipeline.settle(&body).await;
        assert_eq!(settled["success"], true, "{settled}");
    }
    for forged in [sign(&Buyer::new(), wallet), sign(&delegated, delegated.address())] {
        let settled = pipeline.settle(&forged.body(Version::V2)).await;
        assert_eq!(settled["errorReason"], "invalid_exact_evm_signature", "{settled}");
    }
    assert_eq!(pipeline.anvil.transfers_to(pipeline.pay_to).await.len(), good.len());
}
