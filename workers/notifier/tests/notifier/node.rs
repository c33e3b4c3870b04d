//! The library for Node, as a receiver and as a judge.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::Value;
use testkit::Received;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::scene::SOON;

/// The receiver that the documentation shows.
pub(crate) const RECEIVER: &str = include_str!("../npm/receiver.mjs");

const JUDGE: &str = include_str!("../npm/judge.mjs");

const LIBRARY: &str = "QUITTANCE_WEBHOOK_LIBRARY";

const HOW_TO_GET_IT: &str = "run the tests with `make test`, or before them: \
    export QUITTANCE_WEBHOOK_LIBRARY=\"$(compose/packages workers/notifier/tests/npm)\"";

/// A process of the documentation's receiver, which ends with this value.
pub(crate) struct NodeReceiver {
    port: String,
    lines: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl NodeReceiver {
    /// Starts one that knows this secret.
    pub(crate) async fn start(secret: &str) -> Self {
        let mut command = node(RECEIVER);
        command.env("WEBHOOK_SECRET", secret).env("PORT", "0");
        let mut process = command.stdin(Stdio::null()).spawn().expect("Node.js starts");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = next_line(&mut lines).await;
        let port = first.strip_prefix("listening on ").unwrap().to_owned();
        Self { port, lines, _process: process }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// The id and the type of the next event that it verified.
    pub(crate) async fn heard(&mut self) -> String {
        next_line(&mut self.lines).await
    }
}

/// A request, and the time at which the library is to judge it.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) secret: String,
    pub(crate) now_secs: i64,
    pub(crate) id: String,
    pub(crate) timestamp_secs: i64,
    pub(crate) signature: String,
    pub(crate) body: String,
}

impl Case {
    /// What a receiver got, judged at once.
    pub(crate) fn of(received: &Received, secret: &str) -> Self {
        let timestamp_secs = received.header("webhook-timestamp").parse().unwrap();
        Self {
            secret: secret.to_owned(),
            now_secs: timestamp_secs,
            id: received.event_id().to_owned(),
            timestamp_secs,
            signature: received.header("webhook-signature").to_owned(),
            body: String::from_utf8(received.body.to_vec()).unwrap(),
        }
    }

    fn json(&self) -> Value {
        serde_json::json!({
            "secret": self.secret,
            "now": self.now_secs,
            "headers": {
                "webhook-id": self.id,
                "webhook-timestamp": self.timestamp_secs.to_string(),
                "webhook-signature": self.signature,
            },
            "body": self.body,
        })
    }
}

/// Why the library refuses each of these, if it does.
pub(crate) async fn judge(cases: &[Case]) -> Vec<Option<String>> {
    let requests: Value = cases.iter().map(Case::json).collect();
    let mut process = node(JUDGE).stdin(Stdio::piped()).spawn().expect("Node.js starts");
    let mut input = process.stdin.take().unwrap();
    input.write_all(requests.to_string().as_bytes()).await.unwrap();
    drop(input);
    let Output { status, stdout, .. } =
        timeout(SOON, process.wait_with_output()).await.expect("Node.js ends").unwrap();
    assert!(status.success(), "{status}");
    serde_json::from_slice(&stdout).unwrap()
}

/// Node with this module, which finds its packages where the process works.
fn node(module: &str) -> Command {
    let mut command = Command::new("node");
    command.args(["--input-type=module", "--eval", module]).current_dir(packages());
    command.stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// Where the library is installed.
fn packages() -> PathBuf {
    let named = std::env::var_os(LIBRARY).map(PathBuf::from);
    named.filter(|folder| folder.join("node_modules/standardwebhooks").exists()).unwrap_or_else(
        || panic!("{LIBRARY} names no folder with the npm package; {HOW_TO_GET_IT}"),
    )
}

async fn next_line(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    let line = timeout(SOON, lines.next_line()).await.expect("Node.js says something");
    line.unwrap().expect("Node.js goes on")
}
