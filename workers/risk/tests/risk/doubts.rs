//! What nobody can know for sure is not decided, and what was known once is asked again.

use std::time::Duration;

use domain::{FailureCode, Payment, PaymentState, StateName, Timestamp};
use runtime::Clock;
use sqlx::AssertSqlSafe;

use crate::world::World;

impl World {
    /// Writes this as the seller's newest rules, whatever it is.
    async fn scribble(&self, version: u32, document: &str) {
        let (account, key) = (self.seller.account.uuid(), self.seller.key_id.uuid());
        let sql = format!(
            "insert into risk_policies (account_id, version, document, created_at, created_by)
             values ('{account}', {version}, '{document}', now(), '{key}')"
        );
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        sql.execute(self.database.store.pool()).await.unwrap();
    }

    async fn look_again_at(&self, payment: &Payment) -> PaymentState {
        self.ring(&[payment.id]).await;
        self.quiet().await;
        self.load(payment.id).await.state
    }
}

#[tokio::test]
async fn rules_that_nobody_can_read_allow_nothing_until_they_can_be_read() {
    let world = World::start().await;
    let _risk = world.judge();
    let unreadable = [
        "null",
        r#"{"limits": "none"}"#,
        r#"{"limits": [{"daily": "many"}]}"#,
        r#"{"a_rule_of_a_later_release": true}"#,
    ];
    let mut version = 0;
    for document in unreadable {
        let payment = world.accepted(&world.rich_buyer().await.authorize().sign()).await;
        version += 1;
        world.scribble(version, document).await;

        assert_eq!(world.look_again_at(&payment).await, PaymentState::Accepted, "{document}");

        assert!(world.evidence(&payment).await.is_empty(), "{document}");
        version += 1;
        world.scribble(version, "{}").await;
        world.wait_for(StateName::Approved, payment.id).await;
    }
}

#[tokio::test]
async fn that_a_payment_could_be_made_once_is_not_believed_when_it_is_decided_on_again() {
    let mut world = World::start().await;
    let (clock, hand) = Clock::manual(Clock::system().now_unix_ms());
    world.clock = clock;
    let _risk = world.judge();
    let buyer = world.rich_buyer().await;
    let signed = buyer.authorize().amount(6_000u64).valid_for(3_600).sign();
    let payment = world.accepted(&signed).await;
    let approved = world.wait_for(StateName::Approved, payment.id).await;
    // Everything is spent elsewhere, while settlement lets the approval pass.
    let elsewhere = buyer.authorize().amount(10_000u64).valid_for(3_600).sign();
    let call = chain::transfer(&elsewhere.authorization, &elsewhere.signature);
    world.anvil.transact(call.target, &call.input).await;
    hand.advance(Duration::from_secs(301));
    let now = Timestamp::from_unix_ms(world.clock.now_unix_ms());
    let PaymentState::Approved { until } = approved.state else { panic!("{approved:?}") };
    assert!(until < now, "the approval is stale");
    let change =
        store::Change { payment: approved, event: domain::Event::ApprovalExpired, carrier: None };
    world.database.store.advance(vec![change], now).await.unwrap();

    let state = world.wait_for(StateName::Rejected, payment.id).await.state;

    assert_eq!(state, PaymentState::Rejected(FailureCode::InsufficientFunds));
}

#[tokio::test]
async fn a_hold_that_nobody_decides_on_in_time_is_rejected_and_says_so() {
    let mut world = World::start().await;
    let (clock, hand) = Clock::manual(Clock::system().now_unix_ms());
    world.clock = clock;
    let signed = world.rich_buyer().await.authorize().valid_for(3_600).sign();
    let payment = world.accepted(&signed).await;
    let now = Timestamp::from_unix_ms(world.clock.now_unix_ms());
    let until = now.plus(Duration::from_secs(60));
    let event = domain::Event::Held { until };
    let change = store::Change { payment, event, carrier: None };
    let held = world.database.store.advance(vec![change], now).await.unwrap();
    let held = held.moved().next().unwrap().clone();
    let _risk = world.judge();
    world.ring(&[held.id]).await;
    world.quiet().await;
    assert_eq!(world.load(held.id).await.state, PaymentState::Held { until });

    hand.advance(Duration::from_secs(61));

    let rejected = world.wait_for(StateName::Rejected, held.id).await;
    assert_eq!(rejected.state, PaymentState::Rejected(FailureCode::HoldExpired));
    let evidence = world.evidence(&rejected).await;
    let told: Vec<_> = evidence.iter().map(|it| (&*it.decision, it.reasons.join(" "))).collect();
    assert_eq!(told, [("deny", "hold_expired".to_owned())]);
}
