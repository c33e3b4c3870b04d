//! What the ledger and the chain say about a load afterwards.

use comfy_table::Table;
use domain::PaymentId;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::Row;

use crate::load::{Load, Offered};
use crate::world::{Calls, World};

/// What all of it ran on.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    processor: String,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let known = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = known.lines().find_map(|line| line.strip_prefix("model name"));
        let processor = name.map_or("", |name| name.trim_start_matches([' ', '\t', ':']));
        Self { cores, processor: processor.to_owned() }
    }
}

/// Milliseconds from accepted to a state: half of the payments were faster, and 99 of 100.
#[derive(Clone, Copy, Debug, Serialize)]
struct Times {
    p50_ms: f64,
    p99_ms: f64,
}

#[derive(Debug)]
pub(crate) struct Figures {
    settled: u64,
    unpaid: u64,
    submitted: Times,
    settled_in: Times,
    transactions: u64,
    failed_transactions: u64,
    gas: u64,
    returned: u64,
}

impl Figures {
    /// Reads what became of the load's payments, whose transactions are in this block or after it.
    pub(crate) async fn read(world: &World, load: &Load, from: u64) -> Self {
        let payments = load.payments.lock().await;
        let ids = list(&payments);
        let count = |what: &str| {
            format!(
                "select count(*)::text as n from payment_events where payment_id in ({ids}) and type = '{what}'"
            )
        };
        let settled = number(world, &count("payment.settled")).await;
        let returned = number(world, &count("payment.returned")).await;
        let (transactions, failed_transactions, gas) = mined(world, from).await;
        Self {
            settled,
            unpaid: payments.len() as u64 - settled,
            submitted: times(world, &ids, "payment.submitted").await,
            settled_in: times(world, &ids, "payment.settled").await,
            transactions,
            failed_transactions,
            gas,
            returned,
        }
    }

    pub(crate) fn with_calls(&self, calls: &Calls, offered: &Offered) -> Value {
        let each = |total: u64| total as f64 / self.settled.max(1) as f64;
        json!({
            "offered_per_s": (offered.accepted + offered.refused) as f64 / offered.took.as_secs_f64(),
            "accepted": offered.accepted,
            "refused": offered.refused,
            "latest_sent_ms": offered.latest.as_millis() as u64,
            "settled": self.settled,
            "unpaid": self.unpaid,
            "returned": self.returned,
            "submitted": self.submitted,
            "settle": self.settled_in,
            "transactions": self.transactions,
            "failed_transactions": self.failed_transactions,
            "payments_per_transaction": self.settled as f64 / self.transactions.max(1) as f64,
            "rpc_calls_per_payment": each(calls.values().sum()),
            "rpc_calls": calls,
            "gas_per_payment": each(self.gas),
        })
    }
}

/// What was called between two counts.
pub(crate) fn between(before: &Calls, after: &Calls) -> Calls {
    let since = |(method, count): (&String, &u64)| {
        (method.clone(), count - before.get(method).copied().unwrap_or_default())
    };
    after.iter().map(since).collect()
}

/// The figures of payments that were alone.
pub(crate) async fn lone(world: &World, alone: &[(PaymentId, u64)]) -> Value {
    let payments: Vec<PaymentId> = alone.iter().map(|(payment, _)| *payment).collect();
    let ids = list(&payments);
    let mut calls: Vec<u64> = alone.iter().map(|(_, calls)| *calls).collect();
    calls.sort_unstable();
    let broadcast = format!(
        "select percentile_cont(0.5) within group (order by ms)::text as n from (
             select extract(epoch from a.broadcast_at - p.created_at) * 1000 as ms
             from payments p
             join transaction_items i on i.payment_id = p.id
             join transaction_attempts a on a.transaction_id = i.transaction_id
             where p.id in ({ids})) as sent"
    );
    let direct = format!(
        "select encode(tx_hash, 'hex') as n from payments where id in ({ids})
         order by created_at desc limit 1"
    );
    let gas = gas_of(world, &text(world, &direct).await).await;
    json!({
        "payments": alone.len(),
        "rpc_calls_p50": calls.get(calls.len() / 2),
        "rpc_calls_max": calls.last(),
        "broadcast_p50_ms": text(world, &broadcast).await.parse::<f64>().ok(),
        "settle": times(world, &ids, "payment.settled").await,
        "gas_per_payment": gas,
    })
}

/// Prints the figures and writes them where programs find them.
#[expect(clippy::print_stdout, reason = "the figures are what it was started for")]
pub(crate) fn publish(report: &Value) {
    let mut table = Table::new();
    table.set_header(["", "figure", "value"]);
    for (part, figures) in report.as_object().into_iter().flatten() {
        for (name, value) in figures.as_object().into_iter().flatten() {
            table.add_row([part.as_str(), name, &value.to_string()]);
        }
    }
    println!("{table}");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    std::fs::create_dir_all(&folder).unwrap();
    let text = serde_json::to_string_pretty(report).unwrap();
    std::fs::write(folder.join("settlement.json"), text).unwrap();
}

fn list(payments: &[PaymentId]) -> String {
    let quoted: Vec<String> = payments.iter().map(|id| format!("'{}'", id.uuid())).collect();
    if quoted.is_empty() { "null".to_owned() } else { quoted.join(",") }
}

async fn times(world: &World, ids: &str, event: &str) -> Times {
    let at = |share: f64| {
        format!(
            "select percentile_cont({share}) within group (order by ms)::text as n from (
                 select extract(epoch from min(e.at) - p.created_at) * 1000 as ms
                 from payments p join payment_events e on e.payment_id = p.id
                 where p.id in ({ids}) and e.type = '{event}' group by p.id, p.created_at) as took"
        )
    };
    let ms = async |share| text(world, &at(share)).await.parse().unwrap_or(f64::NAN);
    Times { p50_ms: ms(0.5).await, p99_ms: ms(0.99).await }
}

/// Our transactions from this block on: how many, how many of them failed, and their gas.
async fn mined(world: &World, from: u64) -> (u64, u64, u64) {
    let (mut transactions, mut failed, mut gas) = (0, 0, 0);
    for number in from..=world.anvil.block_number().await {
        let block = json!([format!("{number:#x}")]);
        let receipts = world.anvil.rpc("eth_getBlockReceipts", block).await;
        for receipt in receipts.as_array().into_iter().flatten() {
            let sender = receipt["from"].as_str().and_then(|from| from.parse().ok());
            if !sender.is_some_and(|sender| world.signers.contains(&sender)) {
                continue;
            }
            transactions += 1;
            failed += u64::from(receipt["status"] != "0x1");
            gas += hexadecimal(&receipt["gasUsed"]);
        }
    }
    (transactions, failed, gas)
}

async fn gas_of(world: &World, hash: &str) -> u64 {
    let hash = json!([format!("0x{hash}")]);
    let receipt = world.anvil.rpc("eth_getTransactionReceipt", hash).await;
    hexadecimal(&receipt["gasUsed"])
}

fn hexadecimal(value: &Value) -> u64 {
    let digits = value.as_str().unwrap_or_default().trim_start_matches("0x");
    u64::from_str_radix(digits, 16).unwrap_or_default()
}

async fn number(world: &World, sql: &str) -> u64 {
    text(world, sql).await.parse().unwrap_or_default()
}

async fn text(world: &World, sql: &str) -> String {
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    let rows = sqlx::raw_sql(sql).fetch_all(world.database.store.pool()).await.unwrap();
    rows[0].try_get("n").unwrap_or_default()
}
