//! Sellers' rules, judged by several risk processes at once, also when the ledger goes away meanwhile.

use std::ops::RangeInclusive;

use domain::{PaymentId, Timestamp};
use futures::future::join_all;
use runtime::Clock;
use serde_json::{Value, json};
use testkit::{Anvil, Buyer, eventually};
use x402::Version;

use crate::pipeline::{DEADLINE, Pipeline};

const RISK: [&str; 2] = ["worker", "risk"];
const SETTLEMENT: [&str; 2] = ["worker", "settlement"];

/// The processes that judge, by their names here.
const JUDGES: [&str; 2] = ["worker risk", "another risk"];

/// What each payment pays, in atomic units.
const AMOUNT: u64 = 100;

/// A bound on what the seller is paid in a month.
fn monthly(payments: u64) -> Value {
    json!({"limits": [{
        "network": Anvil::CHAIN, "asset": Anvil::TOKEN, "per": "account",
        "monthly": (payments * AMOUNT).to_string(),
    }]})
}

impl Pipeline {
    /// A pipeline in which two processes judge.
    async fn with_two_judges() -> Self {
        let mut pipeline = Self::start().await;
        pipeline.start_beside(&RISK, JUDGES[1]);
        pipeline.operator(JUDGES[1]).await;
        pipeline
    }

    /// Posts so many payments of one buyer at the same instant.
    async fn pay_many(&self, buyer: &Buyer, count: usize) -> Vec<String> {
        let bodies: Vec<Value> =
            (0..count).map(|_| self.sign(buyer, AMOUNT).body(Version::V2)).collect();
        join_all(bodies.iter().map(|body| self.pay(body))).await
    }

    async fn show(&self, payment: &str) -> Option<Value> {
        let url = format!("{}/v1/payments/{payment}", self.results().await);
        self.get(&url).await.filter(|(status, _)| *status == 200).map(|(_, resource)| resource)
    }

    /// Waits until all of these are decided on: those that are approved, and those that are denied.
    async fn decided(&self, payments: &[String]) -> (Vec<String>, Vec<Value>) {
        let (mut approved, mut denied) = (Vec::new(), Vec::new());
        for payment in payments {
            let decided = eventually(DEADLINE, || async {
                let resource = self.show(payment).await?;
                (resource["status"] != "accepted").then_some(resource)
            })
            .await;
            match decided["status"].as_str().unwrap() {
                "rejected" => denied.push(decided),
                _ => approved.push(payment.clone()),
            }
        }
        (approved, denied)
    }

    async fn cancel(&self, payment: &str) {
        let url = format!("{}/v1/payments/{payment}/cancel", self.results().await);
        let (status, answer) = self.post(&url, &json!({})).await.unwrap();
        assert_eq!((status, &answer["status"]), (200, &json!("canceled")), "{answer}");
    }

    /// Why a payment was decided on as it was, oldest first.
    pub(crate) async fn evidence(&self, payment: &str) -> Vec<Value> {
        let url = format!("{}/v1/payments/{payment}/risk", self.results().await);
        let (status, risk) = self.get(&url).await.unwrap();
        assert_eq!(status, 200, "{risk}");
        risk["data"].as_array().unwrap().clone()
    }

    /// Whether this process has decided on something.
    async fn has_judged(&self, judge: &str) -> bool {
        let url = format!("{}/metrics", self.operator(judge).await);
        let text = self.text(&url).await.unwrap();
        let mut decisions = text.lines().filter(|line| line.starts_with("risk_decisions_total{"));
        decisions.any(|line| !line.ends_with(" 0"))
    }

    /// Posts payments until each of the judges has decided on one.
    async fn make_all_judge(&self, buyer: &Buyer) {
        eventually(DEADLINE, || async {
            self.decided(&self.pay_many(buyer, 4).await).await;
            let judged = join_all(JUDGES.map(|judge| self.has_judged(judge))).await;
            judged.into_iter().all(|has_judged| has_judged).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn of_two_hundred_payments_at_once_those_are_paid_that_the_budget_is_for() {
    let mut pipeline = Pipeline::with_two_judges().await;
    let buyer = pipeline.buyer(1_000 * AMOUNT).await;
    pipeline.rule(&monthly(10)).await;
    // What is approved stays so until it is looked at here.
    pipeline.crash(&SETTLEMENT);

    let payments = pipeline.pay_many(&buyer, 200).await;

    let (mut approved, denied) = pipeline.decided(&payments).await;
    assert_eq!((approved.len(), denied.len()), (10, 190));
    for payment in &denied {
        assert_eq!(payment["risk"]["reasons"], json!(["MONTHLY_BUDGET_EXCEEDED"]), "{payment}");
    }
    // What ends without being paid gives its part back, once.
    for canceled in approved.split_off(7) {
        pipeline.cancel(&canceled).await;
    }
    let (more, denied) = pipeline.decided(&pipeline.pay_many(&buyer, 8).await).await;
    assert_eq!((more.len(), denied.len()), (3, 5));

    pipeline.start_role(&SETTLEMENT);
    approved.extend(more);
    let over = pipeline.wait_until_over(&approved).await;

    assert!(over.values().all(|payment| payment["status"] == "settled"), "{over:?}");
    assert_eq!(pipeline.anvil.transfers_to(pipeline.pay_to).await.len(), 10);
    // What is paid stays spent.
    let (late, denied) = pipeline.decided(&pipeline.pay_many(&buyer, 2).await).await;
    assert_eq!((late.len(), denied.len()), (0, 2));
}

#[tokio::test]
async fn from_the_answer_on_everybody_judges_by_the_rules_that_were_written() {
    let mut pipeline = Pipeline::with_two_judges().await;
    let buyer = pipeline.buyer(10_000 * AMOUNT).await;
    pipeline.crash(&SETTLEMENT);
    pipeline.rule(&json!({})).await;
    // Whoever kept rules would have these.
    pipeline.make_all_judge(&buyer).await;
    let denies = json!({"payers": {"deny": [buyer.address()]}});
    for (policy, decision) in [(&denies, "deny"), (&json!({}), "allow"), (&denies, "deny")] {
        let version = pipeline.rule(policy).await;

        let payments = pipeline.pay_many(&buyer, 24).await;

        pipeline.decided(&payments).await;
        for payment in &payments {
            let evidence = pipeline.evidence(payment).await;
            assert_eq!(evidence.len(), 1, "{evidence:?}");
            let judged = (&evidence[0]["policy_version"], &evidence[0]["decision"]);
            assert_eq!(judged, (&json!(version), &json!(decision)));
        }
    }
}

/// How long the ledger is away, in blocks of a second. `make faults` has it away for thirty, killed.
const AWAY: u64 = 6;

/// Refuses everybody the ledger for so many blocks; says since when, and which blocks those were.
async fn away(pipeline: &Pipeline, blocks: u64) -> (Timestamp, RangeInclusive<u64>) {
    pipeline.database.refuse_connections().await;
    let since = Timestamp::from_unix_ms(Clock::system().now_unix_ms());
    let from = pipeline.anvil.block_number().await;
    let to = eventually(DEADLINE, || async {
        let height = pipeline.anvil.block_number().await;
        (height >= from + blocks).then_some(height)
    })
    .await;
    pipeline.database.accept_connections().await;
    (since, from + 1..=to)
}

#[tokio::test]
async fn while_the_ledger_is_away_nothing_new_is_paid_and_afterwards_everything_is_once() {
    const PAYMENTS: usize = 36;
    let pipeline = Pipeline::with_two_judges().await;
    let buyer = pipeline.buyer(100 * AMOUNT).await;
    // Whatever was taken up twice would be missing in the end.
    pipeline.rule(&monthly(PAYMENTS as u64)).await;
    let mut payments = pipeline.pay_many(&buyer, PAYMENTS / 3).await;

    let more = pipeline.pay_many(&buyer, PAYMENTS - PAYMENTS / 3);
    let ((since, blocks), more) = tokio::join!(away(&pipeline, AWAY), more);

    payments.extend(more);
    pipeline.assert_settled_and_told(&payments).await;
    for payment in &payments {
        let evidence = pipeline.evidence(payment).await;
        assert_eq!(evidence.len(), 1, "decided on once: {evidence:?}");
        let id: PaymentId = payment.parse().unwrap();
        let state = pipeline.database.store.load(&[id]).await.unwrap().remove(0).state;
        if blocks.contains(&state.inclusion().unwrap().block_number) {
            let told = pipeline.database.store.timeline(id).await.unwrap();
            let submitted = told.iter().find(|entry| entry.status == "submitted").unwrap();
            assert!(submitted.at <= since, "nobody had written that it may be sent: {told:?}");
        }
    }
    let (late, denied) = pipeline.decided(&pipeline.pay_many(&buyer, 1).await).await;
    assert_eq!((late.len(), denied.len()), (0, 1));
}

#[tokio::test]
async fn before_the_first_payment_everything_that_risk_measures_is_there_and_zero() {
    let pipeline = Pipeline::start().await;
    for (role, lines) in [
        (
            "worker risk",
            &[
                "risk_evaluation_seconds_count 0",
                r#"risk_decisions_total{decision="approved",reason="none"} 0"#,
                r#"risk_decisions_total{decision="rejected",reason="DAILY_BUDGET_EXCEEDED"} 0"#,
                "payer_exposure_rejections_total 0",
            ][..],
        ),
        ("worker reconciler", &["risk_holds 0"]),
    ] {
        let url = format!("{}/metrics", pipeline.operator(role).await);
        eventually(DEADLINE, || async {
            let text = pipeline.text(&url).await?;
            let shown: Vec<&str> = text.lines().collect();
            lines.iter().all(|line| shown.contains(line)).then_some(())
        })
        .await;
    }
}
