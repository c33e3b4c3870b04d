//! Connections to Redis that replace themselves.
//!
//! redis-rs' own manager keeps a connection whose commands time out, and one that leads to a
//! demoted primary; a half-open connection then fails for as long as the kernel believes in it.
//! [`Link`] gives up a connection after any error that is not a plain answer of the server.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterConfig};
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError,
    RedisFuture, RedisResult, ScriptInvocation, ServerErrorKind, Value,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use crate::config::QueueConfigError;
use crate::meters;

/// Marks a URL as that of a cluster, after the scheme.
const CLUSTER_MARK: &str = "+cluster";

/// Where Redis is.
#[derive(Clone)]
pub(crate) struct Endpoint {
    server: Server,
    command_timeout: Duration,
}

#[derive(Clone)]
enum Server {
    /// One server, or whatever stands at its address.
    Single(Client),
    /// A cluster, and one of its nodes for pub/sub, which a cluster spreads to all nodes.
    Cluster(Box<ClusterClient>, Client),
}

impl Endpoint {
    pub(crate) fn new(
        url: &SecretString,
        command_timeout: Duration,
    ) -> Result<Self, QueueConfigError> {
        let url = url.expose_secret();
        // The parser's own message may quote the URL, and with it a password.
        let refused = |_| QueueConfigError::Url("not a Redis URL that this build can use");
        let (scheme, rest) =
            url.split_once("://").ok_or(QueueConfigError::Url("it has no scheme"))?;
        let server = match scheme.strip_suffix(CLUSTER_MARK) {
            None => Server::Single(Client::open(url).map_err(refused)?),
            Some(scheme) => {
                let node = format!("{scheme}://{rest}");
                let cluster = ClusterClient::new(vec![node.as_str()]).map_err(refused)?;
                Server::Cluster(Box::new(cluster), Client::open(node).map_err(refused)?)
            }
        };
        Ok(Self { server, command_timeout })
    }

    /// A link whose commands may take `longer` than the usual time to be answered.
    pub(crate) fn link(&self, longer: Duration) -> Link {
        Link(Arc::new(Shared {
            endpoint: self.clone(),
            response_timeout: self.command_timeout + longer,
            attempts: AtomicU64::new(0),
            current: Mutex::new(Current::default()),
        }))
    }

    /// A link for what is worth no more than this much waiting.
    pub(crate) fn hasty_link(&self, limit: Duration) -> Link {
        let command_timeout = limit.min(self.command_timeout);
        Self { command_timeout, ..self.clone() }.link(Duration::ZERO)
    }

    /// Whether one link's commands may end on different servers.
    pub(crate) fn is_cluster(&self) -> bool {
        match &self.server {
            Server::Single(_) => false,
            Server::Cluster(..) => true,
        }
    }

    /// A fresh connection for pub/sub.
    pub(crate) async fn pubsub(&self) -> RedisResult<redis::aio::PubSub> {
        let (Server::Single(client) | Server::Cluster(_, client)) = &self.server;
        within(self.command_timeout, client.get_async_pubsub()).await
    }

    async fn connect(&self, response_timeout: Duration) -> RedisResult<Connection> {
        match &self.server {
            Server::Single(client) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(self.command_timeout))
                    .set_response_timeout(Some(response_timeout));
                let connecting = client.get_multiplexed_async_connection_with_config(&config);
                within(self.command_timeout, connecting).await.map(Connection::Single)
            }
            Server::Cluster(client, _) => {
                let config = ClusterConfig::new()
                    .set_connection_timeout(self.command_timeout)
                    .set_response_timeout(response_timeout);
                let connecting = client.get_async_connection_with_config(config);
                within(self.command_timeout, connecting).await.map(Connection::Cluster)
            }
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").finish_non_exhaustive()
    }
}

/// Ends a step that the client library may let hang.
async fn within<T>(limit: Duration, step: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    tokio::time::timeout(limit, step)
        .await
        .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

#[derive(Clone)]
enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(cmd, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// A connection shared by its clones: made at first use, given up when it fails, made anew at the
/// next use.
#[derive(Clone)]
pub(crate) struct Link(Arc<Shared>);

struct Shared {
    endpoint: Endpoint,
    response_timeout: Duration,
    /// How many connections have been tried, so that those who waited for a failed attempt share
    /// its error instead of each trying in turn.
    attempts: AtomicU64,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    connection: Option<Connection>,
    generation: u64,
    failure: Option<RedisError>,
}

impl Link {
    /// Runs one command. `operation` names it in the metrics.
    pub(crate) async fn query<T: FromRedisValue>(
        &self,
        operation: &'static str,
        command: &Cmd,
    ) -> RedisResult<T> {
        let (mut connection, generation) = self.connection(operation).await?;
        let result = command.query_async(&mut connection).await;
        self.judge(operation, generation, result).await
    }

    /// Runs commands on keys of one slot in one round trip, ignoring their replies.
    pub(crate) async fn send(
        &self,
        operation: &'static str,
        pipeline: &Pipeline,
    ) -> RedisResult<()> {
        let (mut connection, generation) = self.connection(operation).await?;
        let result = pipeline.exec_async(&mut connection).await;
        self.judge(operation, generation, result).await
    }

    /// Runs a script, loading it when the server does not know it yet.
    pub(crate) async fn invoke<T: FromRedisValue>(
        &self,
        operation: &'static str,
        script: &ScriptInvocation<'_>,
    ) -> RedisResult<T> {
        let (mut connection, generation) = self.connection(operation).await?;
        let result = script.invoke_async(&mut connection).await;
        self.judge(operation, generation, result).await
    }

    async fn connection(&self, operation: &'static str) -> RedisResult<(Connection, u64)> {
        let before = self.0.attempts.load(Ordering::Acquire);
        let mut current = self.0.current.lock().await;
        if let Some(connection) = &current.connection {
            return Ok((connection.clone(), current.generation));
        }
        if self.0.attempts.load(Ordering::Acquire) != before
            && let Some(failure) = &current.failure
        {
            return Err(failure.clone());
        }
        let attempt = self.0.endpoint.connect(self.0.response_timeout).await;
        self.0.attempts.fetch_add(1, Ordering::Release);
        match attempt {
            Ok(connection) => {
                current.generation += 1;
                current.failure = None;
                current.connection = Some(connection.clone());
                Ok((connection, current.generation))
            }
            Err(error) => {
                meters::redis_error(operation);
                current.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Counts a failure and gives the connection up if it is to blame.
    async fn judge<T>(
        &self,
        operation: &'static str,
        generation: u64,
        result: RedisResult<T>,
    ) -> RedisResult<T> {
        if let Err(error) = &result {
            meters::redis_error(operation);
            if spoils_connection(error) {
                let mut current = self.0.current.lock().await;
                if current.generation == generation {
                    current.connection = None;
                }
            }
        }
        result
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// Whether the error tells that the connection is broken or leads to the wrong server. An answer
/// about the command itself does not.
fn spoils_connection(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => matches!(
            kind,
            ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown | ServerErrorKind::Moved
        ),
        ErrorKind::Extension => false,
        // The list of kinds is open; every other one is about the way to Redis.
        _ => true,
    }
}

/// Whether the stream or its group is gone, as after a FLUSHALL.
pub(crate) fn is_missing_group(error: &RedisError) -> bool {
    error.code() == Some("NOGROUP")
}
