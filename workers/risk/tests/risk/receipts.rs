//! Engines are told how payments ended that they have decided on.

use std::time::Duration;

use domain::{B256, Event, Inclusion, Payment, PaymentId, StateName, Timestamp};
use runtime::Clock;
use runtime::config::Dialect;
use serde_json::{Value, json};
use store::{Change, ReceiptNext};
use testkit::{Answer, Received, Receiver};

use crate::engines::{RECEIPTS, decision};
use crate::world::{DEADLINE, World};

impl World {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.clock.now_unix_ms())
    }

    async fn happens(&self, payment: PaymentId, event: Event) {
        let payment = self.load(payment).await;
        let change = Change { payment, event, carrier: None };
        let advance = self.database.store.advance(vec![change], self.now()).await.unwrap();
        assert_eq!(advance.moved().count(), 1);
    }

    /// Somebody's transaction has paid it, for good.
    async fn is_paid(&self, payment: PaymentId) {
        let inclusion = Inclusion {
            tx_hash: B256::repeat_byte(0x6b),
            log_index: 3,
            block_number: 7,
            block_hash: B256::repeat_byte(0x8d),
        };
        self.happens(payment, Event::Included(inclusion)).await;
        self.happens(payment, Event::Finalized).await;
    }

    async fn until_all_is_told(&self) {
        testkit::eventually(DEADLINE, || async {
            let backlog = self.database.store.receipt_backlog(10).await.ok()?;
            (backlog.pending == 0).then_some(())
        })
        .await;
    }

    /// A payment that this engine has allowed, with nobody left who would tell it more.
    async fn allowed(&mut self, engine: &Receiver) -> Payment {
        engine.answer(decision("allow"));
        self.ask(Dialect::Trustline, &engine.url_of(""), 5_000);
        let payment = self.in_a_session().await;
        let risk = self.judge();
        let approved = self.wait_for(StateName::Approved, payment.id).await;
        drop(risk);
        approved
    }
}

/// Waits until so many receipts have come.
async fn receipts(engine: &Receiver, count: usize) -> Vec<Received> {
    let all = testkit::eventually(DEADLINE, || async {
        let all: Vec<Received> =
            engine.requests().into_iter().filter(|it| it.target == RECEIPTS).collect();
        (all.len() >= count).then_some(all)
    });
    all.await
}

#[tokio::test]
async fn an_engine_is_told_what_paid_the_payment_that_it_allowed() {
    let mut world = World::start().await;
    let engine = Receiver::start().await;
    let payment = world.allowed(&engine).await;
    let _risk = world.judge();

    world.is_paid(payment.id).await;

    let told = receipts(&engine, 1).await.remove(0);
    assert_eq!(told.header("authorization"), "Bearer hunter2");
    assert_eq!(told.header("idempotency-key"), payment.id.to_string());
    let body = told.json();
    assert_eq!((&body["decisionId"], &body["idempotencyKey"]), (&json!("d-1"), &json!(payment.id)));
    assert_eq!(body["payment"]["settlementStatus"], "success");
    assert_eq!(body["payment"]["transaction"], json!(B256::repeat_byte(0x6b)));
    world.until_all_is_told().await;
}

#[tokio::test]
async fn whoever_was_killed_before_it_wrote_that_down_is_followed_by_one_who_tells_it_again() {
    let mut world = World::start().await;
    let (clock, hand) = Clock::manual(Clock::system().now_unix_ms());
    world.clock = clock;
    let engine = Receiver::start().await;
    let payment = world.allowed(&engine).await;
    world.is_paid(payment.id).await;
    let lease = Duration::from_secs(45);
    let claimed = world.database.store.claim_receipts(10, lease, world.now()).await.unwrap();
    assert_eq!(claimed.len(), 1);
    let others = world.database.store.claim_receipts(10, lease, world.now()).await.unwrap();
    assert!(others.is_empty(), "two have it at once");

    hand.advance(lease);
    let _risk = world.judge();

    let told = receipts(&engine, 1).await.remove(0);
    assert_eq!(told.header("idempotency-key"), payment.id.to_string());
    // The one who was thought dead comes back, and changes nothing.
    let late = (ReceiptNext::Again(world.now()), "timeout");
    world.database.store.settle_receipt(payment.id, 1, late, world.now()).await.unwrap();
    world.until_all_is_told().await;
}

#[tokio::test]
async fn an_engine_that_is_away_is_told_when_it_is_back_and_one_that_refuses_is_not_told_again() {
    for (answer, is_told_again) in [(Answer::status(503), true), (Answer::status(422), false)] {
        let mut world = World::start().await;
        let (clock, hand) = Clock::manual(Clock::system().now_unix_ms());
        world.clock = clock;
        let engine = Receiver::start().await;
        let payment = world.allowed(&engine).await;
        world.is_paid(payment.id).await;
        engine.answer(answer);
        let _risk = world.judge();
        receipts(&engine, 1).await;
        let pending = u64::from(is_told_again);
        testkit::eventually(DEADLINE, || async {
            let backlog = world.database.store.receipt_backlog(10).await.ok()?;
            let is_put_off = backlog.next_due.is_none_or(|due| due > world.now());
            (backlog.pending == pending && is_put_off).then_some(())
        })
        .await;
        engine.answer(Answer::status(204));
        hand.advance(Duration::from_secs(60));
        if is_told_again {
            receipts(&engine, 2).await;
        }
    }
}

#[tokio::test]
async fn engines_hear_nothing_of_what_they_were_not_asked_about_or_what_was_never_tried() {
    let mut world = World::start().await;
    let engine = Receiver::start().await;
    let canceled = world.allowed(&engine).await;
    world.happens(canceled.id, Event::Canceled).await;
    let unasked = world.accepted(&world.rich_buyer().await.authorize().sign()).await;
    world.is_paid(unasked.id).await;
    let backlog = world.database.store.receipt_backlog(10).await.unwrap();
    assert_eq!((backlog.pending, backlog.next_due), (0, None));
    let asked: Vec<Value> = engine.requests().iter().map(Received::json).collect();
    assert_eq!(asked.len(), 1);
}
