//! A Redis of its own for a test.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use uuid::Uuid;

use crate::eventually;
use crate::process::{Process, program};

/// Names the program; without it, `redis-server` of the `PATH`.
const PROGRAM: &str = "REDIS_SERVER_BIN";

/// How long the server may take to start, or to read its data again.
const START: Duration = Duration::from_secs(20);

/// A private `redis-server` on a Unix socket, with the settings of production: an append-only file,
/// and nothing is ever evicted. It ends with this value.
#[derive(Debug)]
pub struct RedisServer {
    folder: TempDir,
    process: Option<Process>,
}

impl RedisServer {
    /// Starts a server, and waits until it answers.
    ///
    /// # Panics
    /// When there is no `redis-server`.
    pub async fn start() -> Self {
        let mut server = Self { folder: TempDir::new().unwrap(), process: None };
        server.start_again().await;
        server
    }

    /// Where it is: a URL for `redis::Client` and for our configuration.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// The id of its process, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Ends it as a crash would. Everybody's connections break; what was written is kept.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it at the same address, with the data it had; nothing if it runs.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_again(&mut self) {
        if self.process.is_some() {
            return;
        }
        // What a killed server left would refuse connections, and look like one that starts.
        std::fs::remove_file(self.socket()).ok();
        let mut command = Command::new(server_program());
        command.args(["--port", "0", "--appendonly", "yes", "--maxmemory-policy", "noeviction"]);
        command.args(["--save", "", "--dir"]).arg(self.folder.path());
        command.arg("--unixsocket").arg(self.socket());
        self.process = Some(Process::spawn(command, &self.folder.path().join("log")));
        eventually(START, || async { (self.ask("PING").await? == "+PONG").then_some(()) }).await;
    }

    /// Stops it from answering, with its connections open: as a network that swallows everything.
    pub fn freeze(&self) {
        self.running().signal(Signal::SIGSTOP);
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.running().signal(Signal::SIGCONT);
    }

    /// Forgets everything, as after a failover to an empty replica.
    ///
    /// # Panics
    /// When the server does not run.
    pub async fn flush(&self) {
        assert_eq!(self.ask("FLUSHALL").await.as_deref(), Some("+OK"));
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("the test has not killed the server before")
    }

    /// The first line of the answer to one command, if the server answers.
    async fn ask(&self, command: &str) -> Option<String> {
        let mut connection = UnixStream::connect(self.socket()).await.ok()?;
        connection.write_all(format!("{command}\r\n").as_bytes()).await.ok()?;
        BufReader::new(connection).lines().next_line().await.ok()?
    }
}

/// A prefix for keys and channels that no other test uses, for tests that share a server.
pub fn key_prefix() -> String {
    format!("t{}:", Uuid::new_v4().simple())
}

fn server_program() -> PathBuf {
    program(PROGRAM, &[".local/tools/redis-server".to_owned()])
        .unwrap_or_else(|| PathBuf::from("redis-server"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_killed_server_comes_back_with_its_data() {
        let mut server = RedisServer::start().await;
        assert_eq!(server.ask("SET kept 1").await.as_deref(), Some("+OK"));
        server.kill();
        assert_eq!(server.ask("PING").await, None);
        server.start_again().await;
        assert_eq!(server.ask("EXISTS kept").await.as_deref(), Some(":1"));
    }

    #[tokio::test]
    async fn a_flushed_server_has_forgotten_everything() {
        let server = RedisServer::start().await;
        server.ask("SET forgotten 1").await;
        server.flush().await;
        assert_eq!(server.ask("EXISTS forgotten").await.as_deref(), Some(":0"));
    }

    #[tokio::test]
    async fn a_frozen_server_answers_once_it_is_thawed() {
        let server = RedisServer::start().await;
        server.freeze();
        let (answer, ()) = tokio::join!(server.ask("PING"), async { server.thaw() });
        assert_eq!(answer.as_deref(), Some("+PONG"));
    }
}
