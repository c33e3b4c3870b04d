//! `quittance receipt verify`

mod chain_check;
mod given;
mod key_source;

use std::process::ExitCode;

use chain::ChainError;
use receipt::{KeyId, Receipt, Refused, Statement};

use self::chain_check::Otherwise;
use self::given::Given;
use crate::args::VerifyReceipt;
use crate::failure::{Failure, print};

/// What speaks against a receipt, or could not be found out.
#[derive(Debug, thiserror::Error)]
enum Doubt {
    #[error("not a receipt: {0}")]
    NotAReceipt(Refused),
    #[error("other statement: what stands beside the signature is not what was signed")]
    OtherStatement,
    #[error("keys not read: {0}")]
    NoKeys(String),
    #[error("unknown key: the document does not have {0}, which the receipt names")]
    UnknownKey(KeyId),
    #[error("signature wrong: {0} did not sign this")]
    WrongSignature(KeyId),
    #[error("chain says otherwise: {0}")]
    Otherwise(#[from] Otherwise),
    #[error("node did not say: {0}")]
    Silent(#[from] ChainError),
}

/// Something that holds, in words, or what speaks against it.
type Finding = Result<String, Doubt>;

/// Prints what the receipt states and a line for each finding; success only when all of them hold.
pub(crate) async fn run(args: VerifyReceipt) -> Result<ExitCode, Failure> {
    let given = Given::read(&args.file)?;
    let findings = match Receipt::parse(&given.jws) {
        Ok(receipt) => find(&receipt, &given, &args).await?,
        Err(refused) => vec![Err(Doubt::NotAReceipt(refused))],
    };
    for finding in &findings {
        match finding {
            Ok(holds) => say(holds)?,
            Err(doubt) => say(doubt)?,
        }
    }
    let holds = findings.iter().all(Result::is_ok);
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn find(
    receipt: &Receipt,
    given: &Given,
    args: &VerifyReceipt,
) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    if let Some(source) = &args.keys {
        findings.push(signature(receipt, source).await?);
    }
    let statement = match receipt.claim() {
        Ok(statement) => statement,
        // Where keys were asked for, a doubt is there already.
        Err(refused) if findings.is_empty() => return Ok(vec![Err(Doubt::NotAReceipt(refused))]),
        Err(_) => return Ok(findings),
    };
    findings.insert(0, Ok(in_words(&statement)));
    // A person reads the statement beside the signature, which nothing but this looks at.
    if given.statement.as_ref().is_some_and(|beside| receipt.payload().as_ref() != Ok(beside)) {
        findings.push(Err(Doubt::OtherStatement));
    }
    if let Some(url) = &args.rpc {
        findings.push(chain_check::check(&statement, url).await);
    }
    Ok(findings)
}

async fn signature(receipt: &Receipt, source: &str) -> Result<Finding, Failure> {
    let keys = match key_source::read(source).await? {
        Ok(keys) => keys,
        Err(why) => return Ok(Err(Doubt::NoKeys(why))),
    };
    Ok(match receipt.verify(&keys) {
        Ok(_) => Ok(format!("signature holds: {} signed this", receipt.key())),
        Err(Refused::UnknownKey(key)) => Err(Doubt::UnknownKey(key)),
        Err(Refused::WrongSignature(key)) => Err(Doubt::WrongSignature(key)),
        Err(refused) => Err(Doubt::NotAReceipt(refused)),
    })
}

fn in_words(statement: &Statement) -> String {
    let Statement { payment, network, asset, payer, pay_to, amount, settled_at, .. } = statement;
    format!(
        "it states: {payer} paid {amount} of {asset} on {network} to {pay_to}; \
         payment {payment}, settled {settled_at}"
    )
}

/// One line, whatever a stranger's receipt makes of it.
fn say(line: &impl ToString) -> Result<(), Failure> {
    let plain = |letter: char| if letter.is_control() { '?' } else { letter };
    print(line.to_string().chars().map(plain).collect::<String>())
}
