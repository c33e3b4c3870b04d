//! `quittance receipt verify`, as somebody uses it who was handed a receipt.

use std::io::Write;
use std::process::{Command, Stdio};

use domain::{Amount, B256, ChainId};
use receipt::{Receipt, SigningKey, Statement};
use serde_json::Value;
use x402::Version;

use crate::pipeline::Pipeline;

/// Nobody listens here.
const NOBODY: &str = "http://127.0.0.1:1";

/// What the command said, line by line, and whether it succeeded.
#[derive(Debug)]
struct Said {
    holds: bool,
    lines: Vec<String>,
}

impl Said {
    fn has(&self, beginning: &str) -> bool {
        self.lines.iter().any(|line| line.starts_with(beginning))
    }
}

/// Runs the command without any settings, with this on its standard input.
fn verify(given: &str, against: &[&str]) -> Said {
    let mut child = Command::new(env!("CARGO_BIN_EXE_quittance"))
        .args(["receipt", "verify", "-"])
        .args(against)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that refuses its arguments may be gone by now.
    let _ = child.stdin.take().unwrap().write_all(given.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let lines = String::from_utf8(text).unwrap().lines().map(str::to_owned).collect();
    Said { holds: output.status.success(), lines }
}

/// A settled payment's receipt, and everything to check it with.
struct Handed {
    pipeline: Pipeline,
    /// The answer of the API.
    answer: Value,
    keys_url: String,
    node: String,
}

impl Handed {
    async fn over() -> Self {
        let pipeline = Pipeline::in_one_process().await;
        let buyer = pipeline.buyer(200).await;
        // Two, so that one transaction may carry both.
        let bodies = [100, 100].map(|amount| pipeline.sign(&buyer, amount).body(Version::V2));
        let mut payments = Vec::new();
        for body in &bodies {
            payments.push(pipeline.pay(body).await);
        }
        pipeline.assert_settled_and_told(&payments).await;
        let results = pipeline.results().await;
        let url = format!("{results}/v1/payments/{}/receipt", payments[1]);
        let (status, answer) = pipeline.get(&url).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        let keys_url = format!("{results}/.well-known/webhook-keys.json");
        let node = pipeline.anvil.url();
        Self { pipeline, answer, keys_url, node }
    }

    fn jws(&self) -> &str {
        self.answer["jws"].as_str().unwrap()
    }

    /// The receipt with another statement, signed by somebody else.
    fn forged(&self, change: impl Fn(&mut Statement)) -> String {
        let mut statement = Receipt::parse(self.jws()).unwrap().claim().unwrap();
        change(&mut statement);
        SigningKey::from_seed(&[9; 32]).sign(&statement)
    }

    fn on_chain(&self, given: &str) -> Said {
        verify(given, &["--rpc", &self.node])
    }
}

#[tokio::test]
async fn a_receipt_is_checked_against_the_keys_the_chain_or_both() {
    let handed = Handed::over().await;
    let folder = tempfile::TempDir::new().unwrap();
    let [keys, answer] = ["keys.json", "answer.json"]
        .map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    std::fs::write(&keys, handed.pipeline.text(&handed.keys_url).await.unwrap()).unwrap();
    std::fs::write(&answer, handed.answer.to_string()).unwrap();

    let whole = handed.answer.to_string();
    let both = verify(&whole, &["--keys", &handed.keys_url, "--rpc", &handed.node]);
    assert!(both.holds && both.lines.len() == 3, "{both:?}");
    assert!(both.has("it states: ") && both.has("signature holds: ") && both.has("chain agrees: "));
    let chain = handed.on_chain(handed.jws());
    assert!(chain.holds && chain.has("chain agrees: ") && !chain.has("signature"), "{chain:?}");

    // For the rest nobody has to be there any more.
    drop(handed.pipeline);
    let offline = verify(handed.answer["jws"].as_str().unwrap(), &["--keys", &keys]);
    assert!(offline.holds && offline.has("signature holds: "), "{offline:?}");
    let named = Command::new(env!("CARGO_BIN_EXE_quittance"))
        .args(["receipt", "verify", &answer, "--keys", &keys])
        .env_clear()
        .output()
        .unwrap();
    assert!(named.status.success());
    for (against, said) in [
        (["--keys", handed.keys_url.as_str()], "keys not read: "),
        (["--keys", "/nowhere/keys.json"], "keys not read: "),
        (["--rpc", &handed.node], "node did not say: "),
        (["--rpc", NOBODY], "node did not say: "),
    ] {
        let silence = verify(&whole, &against);
        assert!(!silence.holds && silence.has(said), "{silence:?}");
    }
}

#[tokio::test]
async fn what_the_chain_does_not_show_is_not_believed_whoever_signed_it() {
    let handed = Handed::over().await;
    assert!(handed.on_chain(&handed.forged(|_| ())).holds, "the chain is all that was asked");
    type Lie = fn(&mut Statement);
    let lies: [(&str, Lie); 10] = [
        ("amount", |it| it.amount = Amount::from(101)),
        ("payer", |it| it.payer = it.pay_to),
        ("recipient", |it| it.pay_to = it.payer),
        ("asset", |it| it.asset = it.payer),
        ("nonce", |it| it.nonce = B256::repeat_byte(1)),
        ("hash", |it| it.transaction.hash = B256::repeat_byte(1)),
        ("log", |it| it.transaction.log_index += 1),
        ("height", |it| it.transaction.block_number += 1),
        ("block", |it| it.transaction.block_hash = B256::repeat_byte(1)),
        ("network", |it| it.network = ChainId::new(1).unwrap()),
    ];
    for (lie, change) in lies {
        let said = handed.on_chain(&handed.forged(change));
        assert!(!said.holds && said.has("chain says otherwise: "), "{lie}: {said:?}");
    }
}

#[tokio::test]
async fn what_the_keys_did_not_sign_is_not_believed_whatever_the_chain_shows() {
    let handed = Handed::over().await;
    let both = ["--keys", handed.keys_url.as_str(), "--rpc", &handed.node];
    let stranger = verify(&handed.forged(|_| ()), &both);
    assert!(!stranger.holds && stranger.has("unknown key: "), "{stranger:?}");
    assert!(stranger.has("chain agrees: "), "each finding is told: {stranger:?}");

    // Another payload under the good header and signature.
    let forged = handed.forged(|it| it.amount = Amount::from(1_000_000));
    let payload = forged.split('.').nth(1).unwrap();
    let mut parts: Vec<&str> = handed.jws().split('.').collect();
    parts[1] = payload;
    let tampered = verify(&parts.join("."), &both);
    assert!(!tampered.holds && tampered.has("signature wrong: "), "{tampered:?}");
    assert!(tampered.has("chain says otherwise: "), "{tampered:?}");

    // The signature is good, and the statement beside it says more.
    let mut answer = handed.answer.clone();
    answer["statement"]["amount"] = "1000000".into();
    let beside = verify(&answer.to_string(), &both);
    assert!(!beside.holds && beside.has("other statement: "), "{beside:?}");
    assert!(beside.has("signature holds: "), "{beside:?}");
}

#[test]
fn what_is_no_receipt_or_is_held_against_nothing_is_refused() {
    let against = ["--rpc", NOBODY];
    for (given, said) in [
        ("", "not a receipt: "),
        ("a.b", "not a receipt: "),
        ("eyJhbGciOiJub25lIn0.e30.", "not a receipt: "),
        ("{}", "quittance: -: "),
        ("\u{1b}[2J", "not a receipt: "),
    ] {
        let refused = verify(given, &against);
        assert!(!refused.holds && refused.has(said), "{given:?}: {refused:?}");
    }
    let nothing = verify("a.b.c", &[]);
    assert!(!nothing.holds && nothing.lines.iter().any(|line| line.contains("--rpc")));
    let no_url = verify("a.b.c", &["--rpc", "file:///etc/passwd"]);
    assert!(!no_url.holds && no_url.lines.iter().any(|line| line.contains("http or https")));
}
