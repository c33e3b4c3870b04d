//! A ledger that has grown, and a process whose statements are looked at.

use std::collections::BTreeMap;

use domain::AccountId;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use store::Store;
use uuid::Uuid;

use crate::ledger::{Ledger, later};

/// Tables that grow with every payment.
const GROWING: [&str; 13] = [
    "payments",
    "payment_events",
    "webhook_deliveries",
    "webhook_attempts",
    "chain_transactions",
    "transaction_attempts",
    "transaction_items",
    "idempotency_keys",
    "risk_evaluations",
    "risk_contexts",
    "risk_answers",
    "risk_receipts",
    "token_permits",
];

/// Tables that fill and empty again.
const BREATHING: [&str; 3] = ["open_approvals", "budget_takes", "budget_reservations"];

/// Indexes of what is under way: who walks through one of them sees little.
const UNDER_WAY: [&str; 4] =
    ["payments_due_now", "webhook_deliveries_waiting", "open_approvals_left", "risk_receipts_due"];

/// How many payments the ledger holds.
pub(super) const PAYMENTS: u32 = 50_000;

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
    insert into risk_evaluations (id, payment_id, account_id, at, decision, reasons, as_of, balance,
            exposure, inputs_sha256)
        select ('0008' || substr(id::text, 5))::uuid, id, account_id, now(), 'allow', '{}', now(), 1, 0,
            sha256('')
        from payments;
    insert into risk_contexts (payment_id, session_id) select id, id from payments;
    insert into token_permits select id, 0, 2000000000, decode(repeat('07', 65), 'hex') from payments;
    insert into risk_answers (payment_id, state, engine, ask_at, decision, decision_id, level,
            reasons, valid_until)
        select id, 'answered', 'trustline', now(), 'allow', 'd', 'low', '{}', to_timestamp(0)
        from payments;
    insert into risk_receipts (payment_id, state, due_at, created_at, ended_at)
        select id, case when due_at is null then 'delivered' else 'pending' end, now(), now(),
            case when due_at is null then now() end
        from payments;
";

/// The id that the seed gives to the so many'th of a kind.
pub(super) fn id(kind: u16, n: u32) -> Uuid {
    Uuid::parse_str(&format!("{kind:04x}0000-0000-7000-8000-{n:012x}")).unwrap()
}

/// The busy seller.
pub(super) fn busy() -> AccountId {
    AccountId::new(id(1, 0))
}

pub(super) async fn grown() -> Ledger {
    let ledger = Ledger::open().await;
    let now = later(0).unix_secs();
    let seed = SEED.replace(":payments", &PAYMENTS.to_string()).replace(":now", &now.to_string());
    ledger.sql(&seed).await.unwrap();
    ledger.sql("vacuum analyze").await.unwrap();
    ledger
}

/// One process with one connection, whose statements can be looked at afterwards.
pub(super) struct Process {
    pub(super) store: Store,
    walks: BTreeMap<String, i64>,
}

impl Process {
    pub(super) async fn start(ledger: &Ledger) -> Self {
        let store = ledger.handle(1);
        let walks = walks(&store).await;
        Self { store, walks }
    }

    /// Fails when a statement of this process has walked through a growing table, or would once the
    /// server plans it for any values; or would on a ledger that was nearly empty when it was planned.
    pub(super) async fn assert_walked_through_nothing(&self, what: &str) {
        assert_eq!(walks(&self.store).await, self.walks, "{what} walked through a table");
        let plans = generic_plans(&self.store).await;
        for (query, plan) in &plans {
            let walked = walked(plan, &GROWING);
            assert!(walked.is_empty(), "{what} would walk through {walked:?}: {query}\n{plan:#}");
        }
        let empty = Ledger::open().await;
        for (query, plan) in plans_of(&empty.handle(1), &statements(&self.store).await).await {
            let walked = walked(&plan, &[&GROWING[..], &BREATHING[..]].concat());
            assert!(walked.is_empty(), "{what} would walk through {walked:?}: {query}\n{plan:#}");
            assert!(!compares(&plan), "{what} would compare each with each: {query}\n{plan:#}");
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

/// A statement that a process has prepared.
struct Statement {
    name: String,
    text: String,
    /// The types of its parameters.
    types: Vec<String>,
}

impl Statement {
    /// Shows the plan for whatever values.
    fn explain(&self) -> String {
        let nulls = vec!["null"; self.types.len()].join(", ");
        let arguments = if nulls.is_empty() { nulls } else { format!("({nulls})") };
        format!("explain (format json) execute \"{}\" {arguments}", self.name)
    }

    fn prepare(&self) -> String {
        let types = self.types.join(", ");
        let types = if types.is_empty() { types } else { format!("({types})") };
        format!("prepare \"{}\" {types} as {}", self.name, self.text)
    }
}

/// Every statement that the process has prepared.
async fn statements(store: &Store) -> Vec<Statement> {
    let query = "select name, statement, parameter_types::text[] from pg_prepared_statements";
    let rows = sqlx::raw_sql(query).fetch_all(store.pool()).await.unwrap();
    assert!(!rows.is_empty(), "the process has done nothing");
    let statement =
        |row: &PgRow| Statement { name: row.get(0), text: row.get(1), types: row.get(2) };
    rows.iter().map(statement).collect()
}

/// The plan of every statement that the process has prepared, for whatever values, where nothing
/// keeps the server from walking but its costs.
pub(super) async fn generic_plans(store: &Store) -> Vec<(String, Value)> {
    let statements = statements(store).await;
    let mut connection = store.pool().acquire().await.unwrap();
    let any = "discard plans; set enable_seqscan = on; set plan_cache_mode = force_generic_plan";
    sqlx::raw_sql(any).execute(&mut *connection).await.unwrap();
    let plans = explained(&mut connection, &statements).await;
    let back = "discard plans; set enable_seqscan = off; reset plan_cache_mode";
    sqlx::raw_sql(back).execute(&mut *connection).await.unwrap();
    plans
}

/// The plans that another process would make of these statements, for whatever values.
async fn plans_of(store: &Store, statements: &[Statement]) -> Vec<(String, Value)> {
    let mut connection = store.pool().acquire().await.unwrap();
    let any = "set plan_cache_mode = force_generic_plan";
    sqlx::raw_sql(any).execute(&mut *connection).await.unwrap();
    // Those that set the connection up are there already.
    let there = "deallocate all";
    sqlx::raw_sql(there).execute(&mut *connection).await.unwrap();
    for statement in statements {
        let prepare = AssertSqlSafe(statement.prepare());
        sqlx::raw_sql(prepare).execute(&mut *connection).await.unwrap();
    }
    explained(&mut connection, statements).await
}

async fn explained(
    connection: &mut PgConnection,
    statements: &[Statement],
) -> Vec<(String, Value)> {
    let mut plans = Vec::new();
    for statement in statements {
        let explain = sqlx::raw_sql(AssertSqlSafe(statement.explain()));
        let row = explain.fetch_one(&mut *connection).await.unwrap();
        plans.push((statement.text.clone(), row.get(0)));
    }
    plans
}

/// The parts of a plan, from the top down.
fn nodes(plan: &Value) -> Vec<&serde_json::Map<String, Value>> {
    match plan {
        Value::Array(parts) => parts.iter().flat_map(nodes).collect(),
        Value::Object(node) => std::iter::once(node).chain(node.values().flat_map(nodes)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// Those of the tables that a plan walks through from end to end, row by row or by an index.
pub(super) fn walked(plan: &Value, tables: &[&str]) -> Vec<String> {
    let text = |node: &serde_json::Map<String, Value>, key| {
        node.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let walks = |node: &serde_json::Map<String, Value>| match text(node, "Node Type").as_str() {
        "Seq Scan" => true,
        "Index Scan" | "Index Only Scan" => {
            let all = !node.contains_key("Index Cond");
            all && !UNDER_WAY.contains(&text(node, "Index Name").as_str())
        }
        _ => false,
    };
    let walked = nodes(plan).into_iter().filter(|node| walks(node));
    let relations = walked.map(|node| text(node, "Relation Name"));
    relations.filter(|relation| tables.contains(&relation.as_str())).collect()
}

/// Whether a plan holds each row of a list against each of another.
pub(super) fn compares(plan: &Value) -> bool {
    let list = |node: &Value| {
        let kind = node.get("Node Type").and_then(Value::as_str);
        let inner = node.get("Parent Relationship").is_some_and(|it| it == "Inner");
        inner && matches!(kind, Some("CTE Scan" | "Function Scan" | "Materialize"))
    };
    let inner = |node: &serde_json::Map<String, Value>| {
        let below = node.get("Plans").and_then(Value::as_array);
        below.is_some_and(|plans| plans.iter().any(list))
    };
    let loops = |node: &&serde_json::Map<String, Value>| {
        node.get("Node Type").is_some_and(|kind| kind == "Nested Loop")
    };
    nodes(plan)
        .into_iter()
        .filter(loops)
        .any(|node| node.contains_key("Join Filter") && inner(node))
}
