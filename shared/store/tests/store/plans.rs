//! What each hot query costs on a ledger that has grown: never a walk through a whole table.

use std::collections::BTreeMap;

use domain::{
    AccountId, DeliveryId, EndpointId, Event, EventId, JobId, PaymentId, SignerId, StateName,
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};
use store::{
    AttemptKind, AttemptRecord, Begun, BlockRange, DeliveryFilter, DeliveryNext, DueDeliveries,
    FeedPosition, Intake, PaymentFilter, PutOff, Reception, RecoverySpec, Store, Stored,
};
use uuid::Uuid;

use crate::ledger::{Ledger, NOW, authorization, change, intake, keyed, later};
use crate::settling::{LONG, follow_up, mined, round, take};

/// Behind an earlier event, for a while.
fn put_off(delivery: DeliveryId) -> PutOff {
    PutOff { delivery, until: later(5), behind: true }
}

/// Tables that grow with every payment.
const GROWING: [&str; 8] = [
    "payments",
    "payment_events",
    "webhook_deliveries",
    "webhook_attempts",
    "chain_transactions",
    "transaction_attempts",
    "transaction_items",
    "idempotency_keys",
];

/// How many payments the ledger holds.
const PAYMENTS: u32 = 50_000;

/// A year of one busy seller beside nineteen others: nearly everything is settled and told, a
/// hundredth is still on its way.
const SEED: &str = "
    create function id(kind text, n bigint) returns uuid language sql immutable
        as $$ select (kind || '0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
    insert into accounts select id('0001', n), 'seller ' || n, now() from generate_series(0, 19) n;
    insert into webhook_endpoints
        select id('0002', n), id('0001', n), 'https://seller.example', '{payment.settled}',
            decode(repeat('09', 32), 'hex'), 'enabled', null, now(), now()
        from generate_series(0, 19) n;
    insert into signers (id, chain_id, address, next_nonce)
        select id('0003', n), 84532, decode(repeat('0' || n, 20), 'hex'), :payments + 1
        from generate_series(0, 2) n;
    insert into chain_transactions
        select id('0004', n), id('0003', n % 3), 84532, n, decode(repeat('01', 20), 'hex'), '',
            21000, case when open then 'open' else 'final' end, 1,
            case when not open then sha256(n::text::bytea) end, case when not open then n end,
            case when not open then sha256(n::text::bytea) end, now(), now()
        from (select n, n % 1000 = 0 as open from generate_series(1, :payments) n) n;
    insert into transaction_attempts
        select id('0004', n), 1, 'payload', sha256(('try' || n)::bytea), '', 1, 1, 1, now()
        from generate_series(1, :payments) n;
    insert into payments (id, account_id, chain_id, asset, payer, nonce, pay_to, amount, valid_after,
            valid_before, signature, x402_version, finality, request_id, created_at, updated_at,
            version, state, due_at, tx_hash, log_index, block_number, block_hash)
        select id('0005', n), id('0001', case when n % 2 = 0 then 0 else n % 20 end), 84532,
            decode(repeat('a5', 20), 'hex'), decode(repeat('bb', 20), 'hex'),
            sha256(('nonce' || n)::bytea), decode(repeat('cc', 20), 'hex'), 1, 0, 2000000000,
            decode(repeat('07', 65), 'hex'), 2, 'confirmed', 'req', now(), now(), 1,
            case when open then 'accepted' else 'settled' end,
            case when open then to_timestamp(:now - n) end,
            case when not open then sha256(n::text::bytea) end, case when not open then 0 end,
            case when not open then n end, case when not open then sha256(n::text::bytea) end
        from (select n, n % 101 = 0 as open from generate_series(1, :payments) n) n;
    insert into payment_events
        select id, 1, ('0006' || substr(id::text, 5))::uuid, account_id, 'payment.settled', state,
            now(), '{}'
        from payments;
    insert into transaction_items
        select id('0004', n), 0, id('0005', n), false from generate_series(1, :payments) n;
    insert into idempotency_keys
        select account_id, id::text, sha256(''), id, created_at from payments;
    insert into webhook_deliveries
        select ('0007' || substr(p.id::text, 5))::uuid, e.id, p.account_id,
            ('0006' || substr(p.id::text, 5))::uuid, p.id, 'payment.settled', 'body',
            case when p.due_at is null then 'delivered' else 'pending' end, 1, p.due_at, null,
            now(), case when p.due_at is null then now() end
        from payments p join webhook_endpoints e on e.account_id = p.account_id;
    insert into webhook_attempts
        select id, 1, now(), 1, 'answered', 200, null, null from webhook_deliveries;
";

/// The id that the seed gives to the so many'th of a kind.
fn id(kind: u16, n: u32) -> Uuid {
    Uuid::parse_str(&format!("{kind:04x}0000-0000-7000-8000-{n:012x}")).unwrap()
}

/// The busy seller.
fn busy() -> AccountId {
    AccountId::new(id(1, 0))
}

async fn grown() -> Ledger {
    let ledger = Ledger::open().await;
    let now = later(0).unix_secs();
    let seed = SEED.replace(":payments", &PAYMENTS.to_string()).replace(":now", &now.to_string());
    ledger.sql(&seed).await.unwrap();
    ledger.sql("vacuum analyze").await.unwrap();
    ledger
}

/// One process with one connection, whose statements can be looked at afterwards.
struct Process {
    store: Store,
    walks: BTreeMap<String, i64>,
}

impl Process {
    async fn start(ledger: &Ledger) -> Self {
        let store = ledger.handle(1);
        let walks = walks(&store).await;
        Self { store, walks }
    }

    /// Fails when a statement of this process has walked through a growing table, or would once the
    /// server plans it for any values.
    async fn assert_walked_through_nothing(&self, what: &str) {
        assert_eq!(walks(&self.store).await, self.walks, "{what} walked through a table");
        for (query, plan) in generic_plans(&self.store).await {
            let walked = walked(&plan);
            assert!(walked.is_empty(), "{what} would walk through {walked:?}: {query}\n{plan:#}");
        }
    }
}

/// How often each growing table was walked through from end to end.
async fn walks(store: &Store) -> BTreeMap<String, i64> {
    sqlx::raw_sql("select pg_stat_force_next_flush()").execute(store.pool()).await.unwrap();
    let query = "select relname::text, seq_scan from pg_stat_user_tables";
    let rows = sqlx::raw_sql(query).fetch_all(store.pool()).await.unwrap();
    let counts = rows.iter().map(|row| (row.get::<String, _>(0), row.get(1)));
    counts.filter(|(table, _)| GROWING.contains(&table.as_str())).collect()
}

/// The plan of every statement that the process has prepared, for whatever values.
async fn generic_plans(store: &Store) -> Vec<(String, Value)> {
    let mut connection = store.pool().acquire().await.unwrap();
    let query = "select name, statement, coalesce(cardinality(parameter_types), 0)
                 from pg_prepared_statements";
    let statements = sqlx::raw_sql(query).fetch_all(&mut *connection).await.unwrap();
    assert!(!statements.is_empty(), "the process has done nothing");
    sqlx::raw_sql("set plan_cache_mode = force_generic_plan")
        .execute(&mut *connection)
        .await
        .unwrap();
    let mut plans = Vec::new();
    for statement in statements {
        let (name, text, parameters): (String, String, i32) =
            (statement.get(0), statement.get(1), statement.get(2));
        let nulls = vec!["null"; usize::try_from(parameters).unwrap()].join(", ");
        let arguments = if parameters == 0 { String::new() } else { format!("({nulls})") };
        let explain = format!("explain (format json) execute \"{name}\" {arguments}");
        let row = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_one(&mut *connection).await.unwrap();
        plans.push((text, row.get(0)));
    }
    plans
}

/// The growing tables that a plan walks through from end to end.
fn walked(plan: &Value) -> Vec<String> {
    match plan {
        Value::Array(parts) => parts.iter().flat_map(walked).collect(),
        Value::Object(node) => {
            let below = node.values().flat_map(walked);
            let relation = node.get("Relation Name").and_then(Value::as_str);
            let here = relation
                .filter(|_| node.get("Node Type").is_some_and(|kind| kind == "Seq Scan"))
                .filter(|relation| GROWING.contains(relation));
            below.chain(here.map(str::to_owned)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

#[test]
fn a_walk_is_found_wherever_it_stands_in_a_plan() {
    let walk = serde_json::json!({"Node Type": "Seq Scan", "Relation Name": "payments"});
    let small = serde_json::json!({"Node Type": "Seq Scan", "Relation Name": "signers"});
    let plan = serde_json::json!([{"Plan": {"Node Type": "Limit", "Plans": [small, walk]}}]);
    assert_eq!(walked(&plan), ["payments"]);
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
    process.store.accept(batch).await.unwrap();
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
    let due = process.store.take_due(100, NOW).await.unwrap();
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
