//! What endpoints are told: the right ones, the right things, and nothing once they are gone.

use domain::{
    AccountId, Amount, Authorization, ChainId, EndpointId, Event, EventType, Payment, WebhookBody,
};
use serde_json::{Value, json};
use sqlx::Row;
use store::{Advance, Announce, Change, Intake};
use testkit::eventually;
use tokio::task::JoinHandle;

use crate::ledger::{
    Ledger, NOW, PATIENCE, authorization, change, intake, later, new, unique_hash,
};

/// The most that a webhook's body may have, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// The longest metadata that the ledger takes, in bytes of JSON.
const LONGEST_METADATA: usize = 8192;

fn approve() -> Event {
    Event::Approved { until: later(600) }
}

/// The endpoints that are told something, each with the types it is told of.
async fn told(ledger: &Ledger) -> Vec<(EndpointId, String)> {
    let rows = ledger
        .rows("select endpoint_id, event_type from webhook_deliveries order by endpoint_id, id")
        .await;
    rows.iter().map(|row| (EndpointId::new(row.get(0)), row.get(1))).collect()
}

async fn bodies(ledger: &Ledger) -> Vec<Vec<u8>> {
    let rows = ledger.rows("select body from webhook_deliveries order by id").await;
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn an_endpoint_is_told_of_what_it_hears_of_by_its_own_account_while_it_is_enabled() {
    let ledger = Ledger::open().await;
    let (seller, other) = (ledger.seller, ledger.account().await);
    let all = ledger.endpoint(seller, &EventType::ALL).await;
    let some = ledger.endpoint(seller, &[EventType::Approved, EventType::Settled]).await;
    ledger.endpoint(seller, &[EventType::Settled]).await;
    ledger.endpoint(other, &EventType::ALL).await;
    let disabled = ledger.endpoint(seller, &EventType::ALL).await;
    ledger
        .store()
        .disable_endpoint(disabled, "it answers nothing", Announce::ToNobody, NOW)
        .await
        .unwrap();
    let deleted = ledger.endpoint(seller, &EventType::ALL).await;
    assert!(ledger.store().delete_endpoint(seller, deleted, NOW).await.unwrap());

    let payment = ledger.payment().await;
    let changes = vec![change(&payment, approve())];
    let advance = ledger.store().advance(changes, NOW).await.unwrap();

    assert_eq!(advance.deliveries.len(), 2);
    let mut expected = vec![
        (all, "payment.accepted".to_owned()),
        (all, "payment.approved".to_owned()),
        (some, "payment.approved".to_owned()),
    ];
    expected.sort_by_key(|(endpoint, _)| *endpoint);
    assert_eq!(told(&ledger).await, expected);
}

#[tokio::test]
async fn deliveries_are_due_from_the_moment_of_the_change() {
    let ledger = Ledger::open().await;
    ledger.endpoint(ledger.seller, &[EventType::Approved]).await;
    let payment = ledger.payment().await;
    let advance = ledger.store().advance(vec![change(&payment, approve())], later(9)).await;
    let deliveries = advance.unwrap().deliveries;
    assert!(ledger.store().delivery_outlooks(&deliveries, later(8)).await.unwrap().is_empty());
    assert_eq!(ledger.store().delivery_outlooks(&deliveries, later(9)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_told_is_the_webhook_of_the_change() {
    let ledger = Ledger::open().await;
    ledger.endpoint(ledger.seller, &[EventType::Approved]).await;
    let metadata = json!({"order": 4711, "price": 1e16});
    let given =
        Intake { metadata: Some(metadata.clone()), ..intake(ledger.seller, &authorization()) };
    let payment = new(ledger.accept(given).await);
    // As a worker would: as the ledger has it, not as it was given.
    let payment = ledger.reload(payment.id).await;
    let carrier = Some(unique_hash());
    let change = Change { carrier, ..change(&payment, approve()) };
    ledger.store().advance(vec![change], later(9)).await.unwrap();

    let row = ledger.rows("select event_id, body from webhook_deliveries").await.remove(0);
    let body: Vec<u8> = row.get("body");
    let payment = ledger.reload(payment.id).await;
    let event = domain::WebhookEvent {
        id: domain::EventId::new(row.get("event_id")),
        kind: EventType::Approved,
        payment: &payment,
        standing: domain::Standing::of(&payment, carrier),
    };
    assert_eq!(body, WebhookBody::new(&event).to_bytes());
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["type"], "payment.approved");
    assert_eq!(body["sequence"], 2);
    assert_eq!(body["timestamp"], json!(later(9)));
    assert_eq!(body["data"]["transaction"]["hash"], json!(carrier));
    assert_eq!(body["data"]["metadata"].to_string(), metadata.to_string());
}

#[tokio::test]
async fn the_longest_payment_that_is_accepted_fits_a_webhook() {
    let ledger = Ledger::open().await;
    ledger.endpoint(ledger.seller, &EventType::ALL).await;
    // Characters that JSON writes as six bytes each, and numbers that grow in other hands.
    let number = json!(1e19).to_string().len() + ",".len();
    let numbers = vec![json!(1e19); LONGEST_METADATA / number - 5];
    let longest = Intake {
        authorization: Authorization {
            chain: ChainId::new(ChainId::MAX).unwrap(),
            amount: "9".repeat(77).parse::<Amount>().unwrap(),
            ..authorization()
        },
        reference: Some("\u{1}".repeat(200)),
        request_id: "\u{1}".repeat(200),
        metadata: Some(json!({"numbers": numbers})),
        ..intake(ledger.seller, &authorization())
    };
    let length = longest.metadata.as_ref().unwrap().to_string().len();
    assert!((LONGEST_METADATA - 50..=LONGEST_METADATA).contains(&length), "{length}");
    let payment = new(ledger.accept(longest).await);
    ledger.apply(&[ledger.reload(payment.id).await], approve()).await;

    let bodies = bodies(&ledger).await;
    assert_eq!(bodies.len(), 2);
    for body in bodies {
        assert!((10_000..MAX_BODY).contains(&body.len()), "{}", body.len());
        serde_json::from_slice::<Value>(&body).unwrap();
    }
}

/// Makes everything that writes a delivery wait for whoever holds this advisory lock.
async fn gate_deliveries(ledger: &Ledger) -> sqlx::PgTransaction<'static> {
    ledger
        .sql(
            "create function wait_at_gate() returns trigger language plpgsql
                 as $$ begin perform pg_advisory_xact_lock_shared(7); return new; end $$;
             create trigger gate before insert on webhook_deliveries
                 for each row execute function wait_at_gate()",
        )
        .await
        .unwrap();
    ledger.hold("select pg_advisory_xact_lock(7)").await
}

fn advance(ledger: &Ledger, payment: &Payment) -> JoinHandle<Advance> {
    let (store, change) = (ledger.store().clone(), change(payment, approve()));
    tokio::spawn(async move { store.advance(vec![change], NOW).await.unwrap() })
}

/// How an endpoint is taken out of use.
#[derive(Clone, Copy, Debug)]
enum End {
    Deleted,
    Disabled,
}

impl End {
    const ALL: [Self; 2] = [Self::Deleted, Self::Disabled];

    fn begin(self, ledger: &Ledger, endpoint: EndpointId) -> JoinHandle<()> {
        let (store, seller): (_, AccountId) = (ledger.store().clone(), ledger.seller);
        tokio::spawn(async move {
            match self {
                Self::Deleted => {
                    assert!(store.delete_endpoint(seller, endpoint, NOW).await.unwrap());
                }
                Self::Disabled => {
                    let disable = store.disable_endpoint(endpoint, "why", Announce::ToNobody, NOW);
                    disable.await.unwrap();
                }
            }
        })
    }

    /// What becomes of deliveries that were on their way.
    const fn leaves(self) -> &'static str {
        match self {
            Self::Deleted => "canceled",
            Self::Disabled => "held",
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_ends_while_a_payment_moves_has_nothing_left_to_be_told() {
    for end in End::ALL {
        let ledger = Ledger::open().await;
        let endpoint = ledger.endpoint(ledger.seller, &[EventType::Approved]).await;
        let payment = ledger.payment().await;
        let gate = gate_deliveries(&ledger).await;
        let moving = advance(&ledger, &payment);
        ledger.until_waiting(1).await;
        let ending = end.begin(&ledger, endpoint);
        eventually(PATIENCE, || async {
            let waits = ledger.waiting().await > 1;
            (waits || ending.is_finished()).then_some(())
        })
        .await;
        gate.commit().await.unwrap();
        moving.await.unwrap();
        ending.await.unwrap();

        let left = format!("state = '{}'", end.leaves());
        assert_eq!(ledger.count("webhook_deliveries", &left).await, 1, "{end:?}");
        assert_eq!(ledger.count("webhook_deliveries", "true").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_moves_while_its_endpoint_ends_tells_it_nothing() {
    let ledger = Ledger::open().await;
    ledger.endpoint(ledger.seller, &[EventType::Approved]).await;
    let payment = ledger.payment().await;
    let ending = ledger.hold("update webhook_endpoints set state = 'deleted'").await;
    let moving = advance(&ledger, &payment);
    eventually(PATIENCE, || async {
        let waits = ledger.waiting().await > 0;
        (waits || moving.is_finished()).then_some(())
    })
    .await;
    ending.commit().await.unwrap();

    assert!(moving.await.unwrap().deliveries.is_empty());
    assert_eq!(ledger.count("webhook_deliveries", "true").await, 0);
}
