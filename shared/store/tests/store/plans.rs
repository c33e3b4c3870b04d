//! What each hot query costs on a ledger that has grown: never a walk through a whole table.

mod deciding;
mod ground;

use domain::{
    AccountId, DeliveryId, EndpointId, Event, EventId, JobId, PaymentId, SignerId, StateName,
};
use serde_json::{Value, json};
use store::{
    AttemptKind, AttemptRecord, Begun, BlockRange, DeliveryFilter, DeliveryNext, DueDeliveries,
    FeedPosition, Intake, Lines, PaymentFilter, PutOff, Reception, RecoverySpec, Stored,
};

use self::ground::{PAYMENTS, Process, busy, compares, generic_plans, grown, id, walked};
use crate::ledger::{Ledger, NOW, authorization, change, intake, keyed, later, with_permit};
use crate::settling::{LONG, follow_up, mined, round, take};

/// Behind an earlier event, for a while.
fn put_off(delivery: DeliveryId) -> PutOff {
    PutOff { delivery, until: later(5), behind: true }
}

#[test]
fn a_walk_is_found_wherever_it_stands_in_a_plan() {
    let walk = json!({"Node Type": "Seq Scan", "Relation Name": "payments"});
    let small = json!({"Node Type": "Seq Scan", "Relation Name": "signers"});
    let index = |name: &str| json!({"Node Type": "Index Scan", "Relation Name": "webhook_attempts", "Index Name": name});
    let mut look = index("webhook_attempts_pkey");
    look["Index Cond"] = json!("(id = 1)");
    let parts = [small, walk, index("webhook_attempts_pkey"), look, index("payments_due_now")];
    let plan = json!([{"Plan": {"Node Type": "Limit", "Plans": parts}}]);
    assert_eq!(walked(&plan, &["payments", "webhook_attempts"]), ["payments", "webhook_attempts"]);
}

#[test]
fn a_comparison_of_each_with_each_is_found_wherever_it_stands_in_a_plan() {
    let list = json!({"Node Type": "CTE Scan", "Parent Relationship": "Inner"});
    let join = json!({"Node Type": "Nested Loop", "Join Filter": "(a = b)", "Plans": [list]});
    assert!(compares(&json!([{"Plan": {"Node Type": "ModifyTable", "Plans": [join]}}])));
    let look = json!({"Node Type": "Index Scan", "Parent Relationship": "Inner"});
    let join = json!({"Node Type": "Nested Loop", "Join Filter": "(a = b)", "Plans": [look]});
    assert!(!compares(&json!([{"Plan": join}])));
    let each = json!({"Node Type": "Nested Loop", "Plans": [list]});
    assert!(!compares(&json!([{"Plan": each}])), "what follows from each row");
}

#[tokio::test]
async fn no_hot_query_walks_through_a_growing_table() {
    let ledger = grown().await;
    intake_is_looked_up(&ledger).await;
    payments_are_read(&ledger).await;
    events_are_read(&ledger).await;
    what_is_due_is_found(&ledger).await;
    deliveries_are_made(&ledger).await;
    an_endpoint_hears_what_it_missed(&ledger).await;
    ledger_and_chain_are_compared(&ledger).await;
    transactions_are_followed(&ledger).await;
    deciding::payments_are_decided_on(&ledger).await;
}

/// A batch as ingress gives it: payments that are new, known, and known by their keys.
async fn intake_is_looked_up(ledger: &Ledger) {
    let process = Process::start(ledger).await;
    let ids: Vec<PaymentId> = (1..=20).map(|n| PaymentId::new(id(5, 2 * n))).collect();
    let known = ledger.store().load(&ids).await.unwrap();
    let mut batch: Vec<Intake> = Vec::new();
    for (n, payment) in known.iter().enumerate() {
        let again = intake(busy(), &payment.authorization);
        batch.push(match n % 2 {
            0 => keyed(again, &format!("order-{n}"), 1),
            _ => keyed(again, &payment.id.uuid().to_string(), 1),
        });
        batch.push(keyed(intake(ledger.seller, &payment.authorization), &format!("key-{n}"), 1));
        batch.push(intake(busy(), &authorization()));
    }
    let by_permit2 = with_permit(ledger.seller, 0);
    let brought = by_permit2.id;
    batch.push(by_permit2);
    process.store.accept(batch).await.unwrap();
    process.store.load_signed(&[brought]).await.unwrap();
    process.assert_walked_through_nothing("accept").await;

    let process = Process::start(ledger).await;
    let long_ago = later(0);
    process.store.forget_idempotency_keys(long_ago, 100).await.unwrap();
    process.assert_walked_through_nothing("forget_idempotency_keys").await;
}

async fn payments_are_read(ledger: &Ledger) {
    let process = Process::start(ledger).await;
    let ids: Vec<PaymentId> = (1..=100).map(|n| PaymentId::new(id(5, 7 * n))).collect();
    process.store.load(&ids).await.unwrap();
    process.store.find_by_key(busy(), "order-1", &[7; 32]).await.unwrap();
    process.store.load_signed(&ids).await.unwrap();
    process.store.versions(&ids).await.unwrap();
    process.store.timeline(ids[0]).await.unwrap();
    process.store.delivery_counts(&ids).await.unwrap();
    process.assert_walked_through_nothing("load").await;

    let before = Some(PaymentId::new(id(5, PAYMENTS / 2)));
    for (account, state) in [
        (busy(), None),
        (busy(), Some(StateName::Accepted)),
        (busy(), Some(StateName::Confirmed)),
        (busy(), Some(StateName::Failed)),
        (AccountId::new(id(1, 7)), None),
        (ledger.seller, Some(StateName::Settled)),
    ] {
        let process = Process::start(ledger).await;
        let filter = PaymentFilter { state, before, ..PaymentFilter::default() };
        process.store.list_payments(account, &filter, 50).await.unwrap();
        process.assert_walked_through_nothing("list_payments").await;
    }
}

async fn events_are_read(ledger: &Ledger) {
    let process = Process::start(ledger).await;
    let end = process.store.feed_end().await.unwrap();
    let nearly = FeedPosition { written_by: end.written_by.saturating_sub(1), ..end };
    for (account, after) in
        [(busy(), FeedPosition::default()), (busy(), nearly), (ledger.seller, end)]
    {
        process.store.feed(account, after, 100).await.unwrap();
        process.store.feed_is_held_back(account).await.unwrap();
    }
    process.store.find_event(busy(), EventId::new(id(6, 2))).await.unwrap();
    process.assert_walked_through_nothing("the feed").await;
    for (query, plan) in generic_plans(&process.store).await {
        let sorts = plan.to_string().contains("\"Sort\"");
        assert!(!sorts, "{query}\n{plan:#}");
    }
}

async fn what_is_due_is_found(ledger: &Ledger) {
    let process = Process::start(ledger).await;
    let due = process.store.take_due(100, &Lines::default(), NOW).await.unwrap();
    assert_eq!(due.len(), 100);
    process.store.backlog(1000, NOW).await.unwrap();
    let wanted = DueDeliveries { limit: 100, share: 10, except: &[] };
    let deliveries = process.store.due_deliveries(wanted, NOW).await.unwrap();
    assert!(deliveries.len() > 20, "{}", deliveries.len());
    process.store.delivery_outlooks(&deliveries, NOW).await.unwrap();
    process.assert_walked_through_nothing("what is due").await;
}

async fn deliveries_are_made(ledger: &Ledger) {
    let process = Process::start(ledger).await;
    let due: Vec<DeliveryId> = (1..=40).map(|n| DeliveryId::new(id(7, 202 * n))).collect();
    let claimed = process.store.claim_deliveries(&due, NOW, later(30)).await.unwrap();
    assert_eq!(claimed.len(), 40);
    let records: Vec<AttemptRecord> = claimed
        .iter()
        .map(|delivery| AttemptRecord {
            delivery: delivery.id,
            endpoint: delivery.endpoint,
            url: delivery.url.clone(),
            reception: Reception::Taken,
            in_order: delivery.in_order,
            number: delivery.attempts + 1,
            lease_until: delivery.lease_until,
            at: NOW,
            duration_ms: 1,
            outcome: "answered",
            status: Some(200),
            error: None,
            response: None,
            next: DeliveryNext::Delivered,
        })
        .collect();
    process.store.record_attempts(&records, later(1)).await.unwrap();
    process.store.put_off(&[put_off(due[0])], NOW).await.unwrap();
    process.store.let_next_go(&due, later(5)).await.unwrap();
    let endpoint = claimed[0].endpoint;
    let filter = DeliveryFilter { account: busy(), endpoint, before: Some(due[20]) };
    process.store.list_deliveries(&filter, 50).await.unwrap();
    process.store.list_attempts(busy(), due[0]).await.unwrap();
    process.store.redeliver(busy(), due[0], NOW).await.unwrap();
    process.assert_walked_through_nothing("deliveries").await;
}

async fn an_endpoint_hears_what_it_missed(ledger: &Ledger) {
    let process = Process::start(ledger).await;
    let delivery = DeliveryId::new(id(7, 202));
    let claimed = process.store.claim_deliveries(&[delivery], NOW, later(30)).await.unwrap();
    let spec = RecoverySpec {
        account: busy(),
        endpoint: claimed[0].endpoint,
        since: later(0),
        until: later(60),
        delivered_too: true,
        untold_too: true,
    };
    process.store.count_recovery(&spec, 1_000).await.unwrap();
    let job = JobId::new(id(9, 1));
    assert_eq!(process.store.begin_recovery(job, &spec, NOW).await.unwrap(), Begun::Running);
    for _ in 0..4 {
        process.store.step_recovery(100, NOW).await.unwrap();
    }
    process.assert_walked_through_nothing("a recovery").await;
}

/// Where the server last looked when nothing was pending, it believes that nothing ever is, and walks
/// through all that is for the sake of one.
#[tokio::test]
async fn deliveries_are_found_by_their_ids_whatever_the_server_believes() {
    let ledger = Ledger::open().await;
    let process = Process::start(&ledger).await;
    let nobody = [DeliveryId::new(id(7, 1))];
    let record = AttemptRecord {
        delivery: nobody[0],
        endpoint: EndpointId::new(id(8, 1)),
        url: "https://shop.example/hook".to_owned(),
        reception: Reception::Taken,
        in_order: false,
        number: 1,
        lease_until: NOW,
        at: NOW,
        duration_ms: 1,
        outcome: "answered",
        status: Some(200),
        error: None,
        response: None,
        next: DeliveryNext::Delivered,
    };
    process.store.delivery_outlooks(&nobody, NOW).await.unwrap();
    process.store.claim_deliveries(&nobody, NOW, later(30)).await.unwrap();
    process.store.put_off(&[put_off(nobody[0])], NOW).await.unwrap();
    process.store.let_next_go(&nobody, NOW).await.unwrap();
    // There is no such delivery: the log refuses it, after its row was looked for.
    process.store.record_attempts(&[record], NOW).await.unwrap_err();

    for (query, plan) in generic_plans(&process.store).await {
        let indexes = indexes_of("webhook_deliveries", &plan);
        // By the event and the endpoint there is one at most.
        let exact = ["webhook_deliveries_pkey", "webhook_deliveries_once"];
        assert!(indexes.iter().all(|index| exact.contains(&index.as_str())), "{query}\n{plan:#}");
    }
}

/// The indexes by which a plan looks into a table.
fn indexes_of(table: &str, plan: &Value) -> Vec<String> {
    match plan {
        Value::Array(parts) => parts.iter().flat_map(|part| indexes_of(table, part)).collect(),
        Value::Object(node) => {
            let below = node.values().flat_map(|part| indexes_of(table, part));
            let index = node.get("Index Name").and_then(Value::as_str);
            let here = index.filter(|index| index.starts_with(table));
            below.chain(here.map(str::to_owned)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// Some blocks in the middle of the chain, read in pages.
async fn ledger_and_chain_are_compared(ledger: &Ledger) {
    let process = Process::start(ledger).await;
    let middle = u64::from(PAYMENTS / 2);
    let range = BlockRange { chain: crate::ledger::chain(), from: middle, to: middle + 999 };
    let page = process.store.recorded_in(range, None, 500).await.unwrap();
    assert_eq!(page.len(), 500);
    let next = process.store.recorded_in(range, page.last(), 500).await.unwrap();
    assert!(next[0].block_number >= page[499].block_number);
    process.store.shared_places(range).await.unwrap();
    let payment = process.store.load(&[PaymentId::new(id(5, 7))]).await.unwrap().remove(0);
    let known = payment.authorization;
    let keys = [(known.asset, known.payer, known.nonce); 100];
    assert!(!process.store.payments_of(range.chain, &keys).await.unwrap().is_empty());
    process.store.signed_by_us(&[known.nonce; 100]).await.unwrap();
    process.store.last_audit(range.chain).await.unwrap();
    process.assert_walked_through_nothing("the audit").await;
}

async fn transactions_are_followed(ledger: &Ledger) {
    let process = Process::start(ledger).await;
    let signer = SignerId::new(id(3, 1));
    let open = process.store.open_transactions(signer).await.unwrap();
    assert!((10..30).contains(&open.len()), "{}", open.len());
    process.store.newest_hashes(&[open[0].id]).await.unwrap();
    process.assert_walked_through_nothing("open_transactions").await;

    let process = Process::start(ledger).await;
    let accepted: Vec<PaymentId> = (1..=50).map(|n| PaymentId::new(id(5, 101 * n))).collect();
    let accepted = process.store.load(&accepted).await.unwrap();
    let approve = Event::Approved { until: later(600) };
    let changes = accepted.iter().map(|payment| change(payment, approve)).collect();
    let advance = process.store.advance(changes, NOW).await.unwrap();
    let approved: Vec<_> = advance.moved().cloned().collect();
    assert_eq!(approved.len(), 50);
    let address = domain::Address::repeat_byte(1);
    let lane = take(&process.store, address, LONG).await.unwrap();
    let next = process.store.align_nonce(&lane, 0).await.unwrap().unwrap();
    let round = round(next, &approved);
    let (transaction, bump) = (round.transaction, crate::settling::attempt(AttemptKind::Payload));
    let stored = process.store.store_round(&lane, round, NOW).await.unwrap();
    assert!(matches!(&stored, Stored::Committed(_)), "{stored:?}");
    assert!(process.store.store_attempt(&lane, transaction, &bump, NOW).await.unwrap());
    let sent = process.store.find_transaction(transaction).await.unwrap().unwrap();
    let carried = process.store.load(&sent.items).await.unwrap();
    let returned = follow_up(&sent, mined(bump.hash), &carried, Event::Returned);
    process.store.follow_up(returned, NOW).await.unwrap().unwrap();
    process.assert_walked_through_nothing("settlement").await;
}
