//! The command line.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args as Arguments, Parser, Subcommand, ValueEnum};
use domain::{AccountId, Address, ApiKeyId, ChainId, Denial, Scope, SignerId};
use secrecy::SecretString;

use crate::key_terms::{AccountLimit, Lifetime, RequestLimit};
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
    /// Prints the settings in force as JSON, without secrets; fails when they cannot be used.
    Config,
    /// Asks a process whether it is ready, and fails when it is not; for health checks of containers.
    Health {
        /// What is asked; without it, `/readyz` at `metrics.listen` of these settings.
        url: Option<reqwest::Url>,
    },
    /// API keys of sellers.
    #[command(subcommand, visible_alias = "api-key")]
    Key(KeyCommand),
    /// Signing addresses that pay the gas.
    #[command(subcommand)]
    Signer(SignerCommand),
    /// Whom and what no tenant's payment may come from, go to or be for.
    #[command(subcommand)]
    Denial(DenialCommand),
    /// What the installation signs receipts with.
    #[command(subcommand)]
    SigningKey(SigningKeyCommand),
    /// Receipts of settled payments.
    #[command(subcommand)]
    Receipt(ReceiptCommand),
    /// Compares the ledger with the chain, and fails when they differ or could not be read.
    ///
    /// Only blocks that are final by the network's confirmations are compared. Prints one JSON line
    /// for each difference, and one for each network at its end.
    Audit(AuditArgs),
    /// Prints the document of the HTTP API (OpenAPI 3.1); needs no settings.
    Openapi,
    /// Prints what every metric is called and means, as a page; needs no settings.
    Metrics {
        /// For programs.
        #[arg(long)]
        json: bool,
    },
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

#[derive(Debug, Subcommand)]
pub(crate) enum DenialCommand {
    /// Denies from the next decision on.
    Add {
        /// payer:0x…, `pay_to:0x…`, asset:0x…, host:shop.example or host:*.shop.example.
        denial: Denial,
        /// Why.
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// Denies no longer.
    Remove {
        /// As it was added.
        denial: Denial,
    },
    /// Prints everything that is denied, one JSON line each.
    List,
}

/// Why somebody is denied, in words.
fn reason(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let fits = (1..=500).contains(&text.chars().count()) && !text.contains(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err("must be 1 to 500 printable characters") }
}

#[derive(Clone, Copy, Debug, Arguments)]
pub(crate) struct AuditArgs {
    /// The network, for example eip155:8453; all that are configured when it is not given.
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
        /// When it ends by itself: 90d, 12h, 30m. Never, when it is not given.
        #[arg(long, value_name = "TIME")]
        expires_in: Option<Lifetime>,
        /// How many requests in a second all keys of the account may send together.
        #[arg(long, value_name = "PER_SECOND")]
        limit: Option<RequestLimit>,
    },
    /// Makes a key that takes another's place, with its scopes, and prints it, once, as JSON.
    Rotate {
        /// The key's id, as `key list` shows it.
        id: ApiKeyId,
        /// How long the old one stays good beside it: 24h, 7d, 0s.
        #[arg(long, value_name = "TIME", default_value = "24h")]
        overlap: Lifetime,
        /// When the new one ends by itself. Never, when it is not given.
        #[arg(long, value_name = "TIME")]
        expires_in: Option<Lifetime>,
    },
    /// Says how many requests in a second all keys of an account may send together.
    Limit {
        /// The account.
        account: AccountId,
        /// The number, or `default`: what every key may by itself, by `[limits]`.
        #[arg(value_name = "PER_SECOND|default")]
        limit: AccountLimit,
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
    /// Lists every signer that the ledger knows: who holds it, what is in flight, what it has for
    /// gas.
    List {
        /// As a table for people instead of a JSON line for each.
        #[arg(long)]
        table: bool,
    },
    /// Makes a signer known to the ledger, before a worker has its key.
    Add(NewSigner),
    /// Takes a signer out of use. What it has sent is followed to the end.
    Pause {
        /// Its id or its address.
        signer: SignerRef,
        /// The network, where several have a signer of this address, for example eip155:8453.
        #[arg(long)]
        network: Option<ChainId>,
        /// Why, for whoever finds it paused.
        #[arg(long, value_parser = parse_reason)]
        reason: String,
    },
    /// Puts a signer back into use.
    Resume {
        /// Its id or its address.
        signer: SignerRef,
        /// The network, where several have a signer of this address.
        #[arg(long)]
        network: Option<ChainId>,
    },
    /// Prints what happened to a signer, oldest first.
    Events {
        /// Its id or its address.
        signer: SignerRef,
        /// The network, where several have a signer of this address.
        #[arg(long)]
        network: Option<ChainId>,
        /// At most so many, the newest.
        #[arg(long, default_value_t = 100)]
        last: u32,
    },
    /// Prints the address of each configured key.
    Addresses,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum SigningKeyCommand {
    /// Lists every key there has ever been: never the seeds.
    List,
    /// Makes a new key. It is shown at once, and signs in an hour; the old ones verify for ever.
    Rotate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReceiptCommand {
    /// Checks a receipt, and succeeds only when everything that was asked for holds.
    ///
    /// Needs no settings, and asks nobody but the URLs given here.
    Verify(VerifyReceipt),
}

/// Which receipt, and what it is held against.
#[derive(Debug, Arguments)]
#[command(group = clap::ArgGroup::new("against").required(true).multiple(true))]
pub(crate) struct VerifyReceipt {
    /// The receipt: the JWS, or the answer of the API that holds it. `-` is standard input.
    pub(crate) file: PathBuf,
    /// The installation's key document, as a file or as a URL: checks the signature.
    #[arg(long, group = "against", value_name = "FILE_OR_URL")]
    pub(crate) keys: Option<String>,
    /// A node of the receipt's network: checks the payment on chain, whoever signed the receipt.
    #[arg(long, group = "against", value_name = "URL", value_parser = parse_node_url)]
    pub(crate) rpc: Option<SecretString>,
}

fn parse_node_url(text: &str) -> Result<SecretString, &'static str> {
    let url = text.parse::<reqwest::Url>().ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https"))
        .map(|_| SecretString::from(text))
        .ok_or("must be an http or https URL")
}

/// Which signer is new.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub(crate) struct NewSigner {
    /// The network it signs for, for example eip155:84532.
    #[arg(long)]
    pub(crate) network: ChainId,
    /// Its address.
    #[arg(long, group = "which")]
    pub(crate) address: Option<Address>,
    /// Makes a new key and keeps it, encrypted, in this file, which must not be there yet.
    #[arg(long, group = "which", requires = "password_file", value_name = "FILE")]
    pub(crate) new_keystore: Option<PathBuf>,
    /// The file that holds the password of the new file.
    #[arg(long, requires = "new_keystore", value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

/// A signer, as operators name it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SignerRef {
    Id(SignerId),
    Address(Address),
}

impl FromStr for SignerRef {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let id = text.parse().map(Self::Id);
        id.map_err(|_| "must be a signer's id (sgn_…) or its address (0x…)")
    }
}

impl fmt::Display for SignerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// The longest reason, in characters.
const REASON_LIMIT: usize = 500;

fn parse_reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if (1..=REASON_LIMIT).contains(&text.chars().count()) {
        Ok(text.to_owned())
    } else {
        Err(format!("must have 1 to {REASON_LIMIT} characters"))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum DemoCommand {
    /// Prints the body of a payment to post, signed by a buyer with test money.
    Payment,
}
