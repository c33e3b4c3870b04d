//! A private Redis server, reached over a Unix socket in a directory of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

use crate::stage::eventually;

/// Killed, and its data removed, when dropped.
pub(crate) struct RedisServer {
    directory: TempDir,
    process: Option<Child>,
}

/// The server program: `REDIS_SERVER_BIN`, or the one on the path.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("REDIS_SERVER_BIN").map_or_else(|| "redis-server".into(), PathBuf::from)
}

impl RedisServer {
    pub(crate) async fn start() -> Self {
        let mut server = Self::absent();
        server.run().await;
        server
    }

    /// A server that has an address and does not run yet.
    pub(crate) fn absent() -> Self {
        Self { directory: TempDir::with_prefix("queue-").unwrap(), process: None }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Starts the server, over the data it may have had before.
    pub(crate) async fn run(&mut self) {
        let child = Command::new(program())
            .args(["--port", "0", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "everysec"])
            .args(["--maxmemory-policy", "noeviction"])
            .arg("--unixsocket")
            .arg(self.socket())
            .arg("--dir")
            .arg(self.directory.path())
            .arg("--logfile")
            .arg(self.directory.path().join("log"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(child);
        eventually("Redis answers", async || {
            let mut connection = self.try_connect().await?;
            let answer = redis::cmd("PING").exec_async(&mut connection).await;
            answer.ok()
        })
        .await;
    }

    /// Kills the server where it is.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Asks the server to shut down, and waits until it has.
    pub(crate) async fn shut_down(&mut self) {
        let mut connection = self.connect().await;
        // The server ends instead of answering.
        let _ = redis::cmd("SHUTDOWN").exec_async(&mut connection).await;
        self.process.take().unwrap().wait().unwrap();
    }

    /// Stops the server's process without closing its connections.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        self.try_connect().await.unwrap()
    }

    async fn try_connect(&self) -> Option<MultiplexedConnection> {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.ok()
    }

    fn signal(&self, signal: Signal) {
        let id = self.process.as_ref().unwrap().id();
        kill(Pid::from_raw(id.try_into().unwrap()), signal).unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
