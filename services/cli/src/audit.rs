//! `quittance audit`

use std::process::ExitCode;

use domain::ChainId;
use reconciler::audit::{AuditNetwork, Tally, Unfinished, examine, newest_final, recent};
use runtime::Config;
use serde_json::json;
use store::{BlockRange, Store};

use crate::args::AuditArgs;
use crate::failure::{Failure, print};
use crate::networks::{self, Nodes};
use crate::serve::open_store;

/// Compares ledger and chain, and prints every difference and a summary of each network; success
/// only when everything could be read and nothing differs.
pub(crate) async fn run(config: &Config, args: AuditArgs) -> Result<ExitCode, Failure> {
    let mut networks = networks::for_audit(config, &Nodes::open(config)?)?;
    if let Some(chosen) = args.network {
        networks.retain(|network| network.node.chain() == chosen);
        if networks.is_empty() {
            return Err(Failure::Said(format!("{chosen} is not configured")));
        }
    }
    if networks.is_empty() {
        return Err(Failure::Said("no network is configured: nothing can be compared".into()));
    }
    let store = open_store(config)?;
    let mut equal = true;
    for network in &networks {
        let mut audit =
            Audit { store: &store, network, args, tally: Tally::default(), range: None };
        let end = audit.compare(config.reconciler.audit_blocks).await;
        let outcome = match &end {
            Ok(()) if audit.tally.differences == 0 => "equal",
            Ok(()) => "different",
            Err(_) => "unfinished",
        };
        equal &= outcome == "equal";
        audit.summarize(outcome, end.err())?;
    }
    Ok(if equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Audit<'a> {
    store: &'a Store,
    network: &'a AuditNetwork,
    args: AuditArgs,
    tally: Tally,
    /// The blocks, once they are known.
    range: Option<BlockRange>,
}

/// Why the comparison of a network did not come to its end.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Unfinished(#[from] Unfinished),
    #[error("the first block, {from}, comes after the last one that is final and asked for, {to}")]
    NoBlocks { from: u64, to: u64 },
    /// Nobody reads what is found.
    #[error("{0}")]
    Output(Failure),
}

impl Audit<'_> {
    async fn compare(&mut self, most: u64) -> Result<(), Stopped> {
        let AuditNetwork { node, confirmations, .. } = self.network;
        let newest = newest_final(node, *confirmations).await.map_err(Unfinished::from)?;
        let newest = newest.ok_or(Unfinished::NothingFinal)?;
        let to = self.args.to.map_or(newest, |to| to.min(newest));
        let from = self.args.from.unwrap_or_else(|| recent(None, to, most).0);
        if from > to {
            return Err(Stopped::NoBlocks { from, to });
        }
        let range = BlockRange { chain: node.chain(), from, to };
        self.range = Some(range);
        let chain: ChainId = node.chain();
        let mut output = Ok(());
        examine(self.store, self.network, range, &mut self.tally, |difference| {
            if output.is_ok() {
                output = print(difference.to_json(chain));
            }
        })
        .await?;
        output.map_err(Stopped::Output)
    }

    fn summarize(&self, outcome: &str, stopped: Option<Stopped>) -> Result<(), Failure> {
        let Tally { blocks, payments, transactions, uses, differences } = self.tally;
        let mut summary = json!({
            "network": self.network.node.chain(),
            "outcome": outcome,
            "blocks": blocks,
            "payments": payments,
            "transactions": transactions,
            "uses": uses,
            "differences": differences,
        });
        if let Some(range) = self.range {
            summary["from"] = json!(range.from);
            summary["to"] = json!(range.to);
            if let Some(asked) = self.args.to.filter(|asked| *asked > range.to) {
                summary["note"] =
                    json!(format!("block {asked} is not final: block {} is", range.to));
            }
        }
        if let Some(stopped) = stopped {
            summary["reason"] = json!(stopped.to_string());
        }
        print(summary)
    }
}
