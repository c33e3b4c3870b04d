//! A ledger that has been in use for a month: payments that are over, with everything that belongs
//! to them, written by the database itself.

use std::time::Instant;

use domain::Address;
use serde::Serialize;
use sqlx::{AssertSqlSafe, Executor, PgPool, Row};
use testkit::Anvil;

/// What is written with one statement of each kind; whole transactions of 139.
const CHUNK: u64 = 139 * 360;

/// Chunks written at once.
const AT_ONCE: usize = 2;

/// The payments are of so many sellers.
const SELLERS: u64 = 20;

/// How long ago the first payment was accepted, in milliseconds: thirty days.
const SPAN_MS: u64 = 30 * 24 * 3_600 * 1_000;

/// The statements for one chunk.
const STATEMENTS: &str = include_str!("seed.sql");

/// Names that are told apart by a kind and a number, in the order of their numbers (as UUIDs of version 7 are).
const NAMES: &str = "
    create or replace function seed_id(kind bigint, n bigint) returns uuid language sql immutable as $$
        select (lpad(to_hex(:start + n * :gap), 12, '0') || '7' || lpad(to_hex(kind), 3, '0') || '8'
                || lpad(to_hex(n), 15, '0'))::uuid
    $$";

/// Who the payments belong to, and who is told.
const OWNERS: &str = "
    insert into accounts select seed_id(2, n), 'seeded ' || n, now() from generate_series(0, :sellers - 1) n;
    insert into webhook_endpoints
        select seed_id(6, n), seed_id(2, n), 'https://seller.example/' || n, 
            '{payment.settled,payment.rejected,payment.canceled,payment.expired,payment.failed,payment.reorged}',
            sha256(n::text::bytea), 'enabled', null, now(), now()
        from generate_series(0, :sellers - 1) n;
    insert into signers (id, chain_id, address, next_nonce)
        values (seed_id(4, 0), :chain, substr(sha256((:start || ' signer')::bytea), 1, 20), :payments / 139)";

/// References and the indexes that no constraint needs: made and checked anew afterwards, which is faster than
/// row by row.
const SET_ASIDE: &str = "
    with filled as (
        select oid from pg_class
        where relnamespace = 'public'::regnamespace
          and relname in ('payments', 'payment_events', 'chain_transactions', 'transaction_attempts',
              'transaction_items', 'webhook_deliveries', 'webhook_attempts')
    )
    select format('alter table %s drop constraint %I', conrelid::regclass, conname) as aside,
           format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(c.oid)) as back
    from pg_constraint c join filled on filled.oid = c.conrelid
    where c.contype = 'f'
    union all
    select format('drop index %s', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid)
    from pg_index i join filled on filled.oid = i.indrelid
    where not i.indisunique";

/// What was written.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Seeded {
    pub(crate) payments: u64,
    pub(crate) seconds: f64,
    pub(crate) mib: u64,
}

/// Writes about so many payments by these buyers into a ledger that nobody else uses meanwhile.
pub(crate) async fn seed(pool: &PgPool, payments: u64, buyers: &[Address]) -> Seeded {
    let began = Instant::now();
    let chunks = payments.div_ceil(CHUNK);
    let payments = chunks * CHUNK;
    let script = Script::new(payments, buyers);
    for statements in [NAMES, OWNERS] {
        script.run(pool, statements, 0).await;
    }
    let set_aside = pool.fetch_all(sqlx::raw_sql(SET_ASIDE)).await.unwrap();
    for it in &set_aside {
        run(pool, it.get("aside")).await;
    }
    let lanes = (0..AT_ONCE as u64).map(|lane| {
        let script = &script;
        async move {
            for chunk in (lane..chunks).step_by(AT_ONCE) {
                script.run(pool, STATEMENTS, chunk * CHUNK).await;
            }
        }
    });
    futures::future::join_all(lanes).await;
    // Indexes first: they make the references quick to check.
    for it in set_aside.iter().rev() {
        run(pool, it.get("back")).await;
    }
    run(pool, "drop function seed_id".to_owned()).await;
    run(pool, "vacuum (analyze)".to_owned()).await;
    run(pool, "checkpoint".to_owned()).await;
    let size = "select (pg_database_size(current_database()) / 1048576)::bigint as mib";
    let mib: i64 = pool.fetch_one(sqlx::raw_sql(size)).await.unwrap().get("mib");
    Seeded {
        payments,
        seconds: began.elapsed().as_secs_f64(),
        mib: u64::try_from(mib).unwrap_or_default(),
    }
}

/// The statements' placeholders.
struct Script {
    values: Vec<(&'static str, String)>,
}

impl Script {
    fn new(payments: u64, buyers: &[Address]) -> Self {
        let now = runtime::Clock::system().now_unix_ms();
        let start = u64::try_from(now).unwrap_or_default().saturating_sub(SPAN_MS);
        let buyers: Vec<String> = buyers.iter().map(|buyer| bytes(buyer.as_slice())).collect();
        let values = vec![
            (":start", start.to_string()),
            (":gap", (SPAN_MS / payments).to_string()),
            (":buyers", format!("array[{}]::bytea[]", buyers.join(", "))),
            (":sellers", SELLERS.to_string()),
            (":chain", Anvil::CHAIN.as_i64().to_string()),
            (":asset", bytes(Anvil::token().address.as_slice())),
            (":payments", payments.to_string()),
        ];
        Self { values }
    }

    async fn run(&self, pool: &PgPool, statements: &str, from: u64) {
        let mut text = statements.replace(":from", &from.to_string());
        text = text.replace(":until", &(from + CHUNK).to_string());
        for (name, value) in &self.values {
            text = text.replace(name, value);
        }
        // Not flushed: what is lost in a crash is written anew, all of it.
        run(pool, format!("set synchronous_commit = off; {text}; reset synchronous_commit")).await;
    }
}

async fn run(pool: &PgPool, statements: String) {
    pool.execute(sqlx::raw_sql(AssertSqlSafe(statements))).await.unwrap();
}

fn bytes(of: &[u8]) -> String {
    let hex: String = of.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("'\\x{hex}'::bytea")
}
