//! `quittance signer list`

use comfy_table::{Table, TableStyle};
use domain::U256;
use futures::future::join_all;
use runtime::Config;
use serde_json::{Value, json};
use store::SignerRow;

use crate::failure::{Failure, print};
use crate::networks::Nodes;
use crate::serve::open_store;

/// A signer's money for gas in wei, or why that is not known.
type Balance = Result<U256, String>;

pub(super) async fn list(config: &Config, as_table: bool) -> Result<(), Failure> {
    let rows = open_store(config)?.list_signers().await?;
    let nodes = Nodes::open(config)?;
    let balances = join_all(rows.iter().map(|row| balance(config, &nodes, row))).await;
    let signers = rows.iter().zip(&balances);
    if as_table {
        return print(table(signers));
    }
    for (row, balance) in signers {
        print(line(row, balance))?;
    }
    Ok(())
}

/// Asks the network's node, which has a deadline.
async fn balance(config: &Config, nodes: &Nodes, row: &SignerRow) -> Balance {
    let network = config.network(row.chain.get()).ok_or("the network is not configured")?;
    let node = nodes.of(network).map_err(|failure| failure.to_string())?;
    node.balance(row.address).await.map_err(|error| error.to_string())
}

fn line(row: &SignerRow, balance: &Balance) -> Value {
    let (owner, until) = row.lease.unzip();
    let mut line = json!({
        "id": row.id,
        "network": row.chain,
        "address": row.address,
        "next_nonce": row.next_nonce,
        "in_flight": row.in_flight,
        "lease_owner": owner.map(|owner| owner.to_string()),
        "lease_until": until,
        "lease_epoch": row.epoch,
        "paused_reason": row.paused_reason,
        "gas_balance_wei": balance.as_ref().ok().map(U256::to_string),
    });
    if let Err(why) = balance {
        line["gas_balance_error"] = json!(why);
    }
    line
}

fn table<'a>(signers: impl Iterator<Item = (&'a SignerRow, &'a Balance)>) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    table.set_header([
        "id",
        "network",
        "address",
        "nonce",
        "in flight",
        "held by",
        "paused",
        "wei",
    ]);
    for (row, balance) in signers {
        table.add_row([
            row.id.to_string(),
            row.chain.to_string(),
            row.address.to_string(),
            row.next_nonce.to_string(),
            row.in_flight.to_string(),
            row.lease.map(|(owner, _)| owner.to_string()).unwrap_or_default(),
            row.paused_reason.clone().unwrap_or_default(),
            balance.as_ref().map_or_else(Clone::clone, U256::to_string),
        ]);
    }
    table
}
