//! One `quittance` process: its log, its address, and the time it has computed.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testkit::eventually;

use crate::computing::computed_by;

const START: Duration = Duration::from_secs(30);

/// A running role, killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Role {
    pub(crate) name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Role {
    /// Starts the program that lies beside this one.
    pub(crate) fn start(
        name: &'static str,
        settings: &[(String, String)],
        folder: &Path,
        number: usize,
    ) -> Self {
        let program = std::env::current_exe().unwrap().with_file_name("quittance");
        let arguments: &[&str] = match name {
            "ingress" | "results" => &[name],
            worker => &["worker", worker],
        };
        let log = folder.join(format!("{name}-{number}.log"));
        let output = File::create(&log).unwrap();
        let errors = output.try_clone().unwrap();
        let mut command = Command::new(&program);
        command.args(arguments).env_clear().envs(settings.iter().cloned());
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        Self { name, child, log }
    }

    /// The address in the log line with this message, once that is there.
    pub(crate) async fn address(&self, message: &str) -> SocketAddr {
        eventually(START, || async {
            let said = std::fs::read_to_string(&self.log).ok()?;
            let mut lines = said.lines().filter_map(|line| serde_json::from_str(line).ok());
            let line = lines.find(|line: &Value| line["message"] == message)?;
            line["metadata"]["address"].as_str()?.parse().ok()
        })
        .await
    }

    pub(crate) async fn metrics(&self) -> SocketAddr {
        self.address("serving health and metrics").await
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let process = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(process, signal).unwrap();
    }

    /// The most memory that it has had so far, in MiB (proc(5), `VmHWM`).
    pub(crate) fn most_memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or_default() / 1_024
    }

    /// How long it has computed so far.
    pub(crate) fn computed(&self) -> Duration {
        computed_by(self.child.id())
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // Both fail only where it is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
