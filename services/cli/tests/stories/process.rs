//! One `quittance` process, its log, and its end.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testkit::eventually;

/// How long a process may take to start or to end.
const LIMIT: Duration = Duration::from_secs(40);

/// A running `quittance`, killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts `quittance` with these arguments and nothing in its environment but these settings.
    pub(crate) fn start(arguments: &[&str], settings: &[(String, String)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_quittance"))
            .args(arguments)
            .env_clear()
            .envs(settings.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (output, kept) = (child.stdout.take().unwrap(), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Self { child, lines }
    }

    /// Every line that it has printed so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The address that it says it listens on, in the log line with this message.
    pub(crate) async fn address(&self, message: &str) -> String {
        eventually(LIMIT, || async {
            self.lines().iter().find_map(|line| {
                let line: Value = serde_json::from_str(line).ok()?;
                (line["message"] == message)
                    .then(|| line["metadata"]["address"].as_str().map(str::to_owned))
                    .flatten()
            })
        })
        .await
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        eventually(LIMIT, || std::future::ready(self.child.try_wait().unwrap())).await
    }

    /// Kills it, as a crash would.
    pub(crate) fn crash(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM).unwrap();
        eventually(LIMIT, || std::future::ready(self.child.try_wait().unwrap())).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where it is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
