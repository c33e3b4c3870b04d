//! The command line.

use std::path::PathBuf;

use clap::{Args as Arguments, Parser, Subcommand, ValueEnum};
use domain::{AccountId, ApiKeyId, ChainId, Scope};

use crate::role::Role;

/// Settles x402 payments: takes them, judges them, moves the money, and tells the seller.
///
/// Every role is a process of its own; `all` runs them in one, for one small machine. Settings come
/// from a TOML file and from the environment; `DATABASE_URL` and `REDIS_URL` are always needed.
#[derive(Debug, Parser)]
#[command(name = "quittance", version)]
pub(crate) struct Args {
    /// The settings' file (TOML).
    #[arg(long, env = "QUITTANCE_CONFIG", global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Serve(Serve),
    /// Brings the ledger's schema up to date.
    Migrate,
    /// API keys of sellers.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Signing addresses that pay the gas.
    #[command(subcommand)]
    Signer(SignerCommand),
    /// Compares the ledger with the chain, and fails when they differ or could not be read.
    ///
    /// Only blocks that are final by the network's confirmations are compared. Prints one JSON line
    /// for each difference, and one for each network at its end.
    Audit(AuditArgs),
    /// Posts 200 payments, good and bad, and compares what became of them with the chain.
    ///
    /// For a development chain with the test token: `make demo` brings one.
    #[command(args_conflicts_with_subcommands = true)]
    Demo {
        /// How long it waits for everything to end.
        #[arg(long, default_value_t = 300, value_name = "SECONDS")]
        deadline_secs: u64,
        #[command(subcommand)]
        command: Option<DemoCommand>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Serve {
    /// Takes payments: POST /v1/payments.
    Ingress,
    /// Answers status polls; webhook endpoints.
    Results,
    /// Runs one pool of workers.
    Worker {
        /// Which pool.
        pool: Pool,
    },
    /// Runs every role in one process.
    All,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Pool {
    /// Decides which payments may be settled.
    Risk,
    /// Moves the money; the only role that needs signing keys.
    Settlement,
    /// Sends webhooks.
    Notifier,
    /// Wakes whatever is due.
    Reconciler,
}

impl Serve {
    /// The roles that run in this process.
    pub(crate) fn roles(&self) -> Vec<Role> {
        match self {
            Self::Ingress => vec![Role::Ingress],
            Self::Results => vec![Role::Results],
            Self::Worker { pool } => vec![match pool {
                Pool::Risk => Role::Risk,
                Pool::Settlement => Role::Settlement,
                Pool::Notifier => Role::Notifier,
                Pool::Reconciler => Role::Reconciler,
            }],
            Self::All => Role::ALL.to_vec(),
        }
    }
}

#[derive(Clone, Copy, Debug, Arguments)]
pub(crate) struct AuditArgs {
    /// The network, as eip155:<id>; all that are configured when it is not given.
    #[arg(long)]
    pub(crate) network: Option<ChainId>,
    /// The first block; without it, as far back as `reconciler.audit_blocks` reaches.
    #[arg(long, value_name = "BLOCK")]
    pub(crate) from: Option<u64>,
    /// The last block; the newest final one when it is not given or not final yet.
    #[arg(long, value_name = "BLOCK")]
    pub(crate) to: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Makes a key and prints it, once, as JSON.
    Create {
        /// The account it is for; without one, a new account is opened.
        #[arg(long)]
        account: Option<AccountId>,
        /// The name of the new account.
        #[arg(long, default_value = "seller", conflicts_with = "account")]
        name: String,
        /// What the key may do; give it again for more. All but `ops` when it is not given.
        #[arg(long = "scope")]
        scopes: Vec<Scope>,
    },
    /// Lists every key: never the keys themselves.
    List,
    /// Revokes a key.
    Revoke {
        /// The key's id, as `key list` shows it.
        id: ApiKeyId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SignerCommand {
    /// Lists every signer that was ever used, and who holds it.
    List,
    /// Prints the address of each configured key.
    Addresses,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DemoCommand {
    /// Prints the body of a payment to post, signed by a buyer with test money.
    Payment,
}
