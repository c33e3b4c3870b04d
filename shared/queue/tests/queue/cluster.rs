//! A Redis Cluster of three servers.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use queue::{Job, Network, Queue, QueueConfig, Quota, Stream};
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

use crate::redis_server::program;
use crate::stage::{Worker, depth_is, emptied, eventually, ids, jobs};

const NODES: usize = 3;
const SLOTS: usize = 16_384;

/// Three primaries that share the slots. Killed when dropped.
struct Cluster {
    nodes: Vec<Node>,
    _directory: TempDir,
}

struct Node {
    port: u16,
    bus_port: u16,
    process: Child,
}

impl Cluster {
    async fn start() -> Self {
        let directory = TempDir::with_prefix("queue-cluster-").unwrap();
        let mut nodes = Vec::new();
        for _ in 0..NODES {
            nodes.push(Node::start(&directory).await);
        }
        let cluster = Self { nodes, _directory: directory };
        cluster.join().await;
        cluster
    }

    /// Gives each node its slots and introduces them to the first.
    async fn join(&self) {
        let first = &self.nodes[0];
        for (index, node) in self.nodes.iter().enumerate() {
            let mut connection = node.connect().await.unwrap();
            let mut slots = redis::cmd("CLUSTER");
            slots.arg("ADDSLOTSRANGE").arg(index * SLOTS / NODES);
            slots.arg((index + 1) * SLOTS / NODES - 1);
            slots.exec_async(&mut connection).await.unwrap();
            let mut meet = redis::cmd("CLUSTER");
            meet.arg("MEET").arg("127.0.0.1").arg(first.port).arg(first.bus_port);
            meet.exec_async(&mut connection).await.unwrap();
        }
        for node in &self.nodes {
            eventually("the cluster is whole", async || {
                let info = node.cluster("INFO").await?;
                let whole =
                    info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3");
                whole.then_some(())
            })
            .await;
        }
    }

    fn queue(&self) -> Queue {
        let url = format!("redis+cluster://127.0.0.1:{}/", self.nodes[0].port);
        let mut config = QueueConfig::new(url);
        config.limit_timeout = Duration::from_secs(5);
        Queue::connect(config).unwrap()
    }
}

impl Node {
    /// Starts on ports that were free a moment ago, and on others if they were taken since.
    async fn start(directory: &TempDir) -> Self {
        loop {
            let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let (port, bus_port) = (port(), port());
            let process = Command::new(program())
                .args(["--cluster-enabled", "yes", "--save", "", "--bind", "127.0.0.1"])
                .args(["--port", &port.to_string(), "--cluster-port", &bus_port.to_string()])
                .args(["--cluster-config-file", &format!("nodes-{port}.conf")])
                .arg("--dir")
                .arg(directory.path())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let mut node = Self { port, bus_port, process };
            let up = eventually("a node answers or has ended", async || {
                match node.process.try_wait().unwrap() {
                    Some(_) => Some(false),
                    None => node.cluster("INFO").await.map(|_| true),
                }
            })
            .await;
            if up {
                return node;
            }
        }
    }

    async fn connect(&self) -> Option<MultiplexedConnection> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/", self.port)).unwrap();
        client.get_multiplexed_async_connection().await.ok()
    }

    async fn cluster(&self, what: &str) -> Option<String> {
        let mut command = redis::cmd("CLUSTER");
        command.arg(what).query_async(&mut self.connect().await?).await.ok()
    }

    async fn slot(&self, key: &str) -> u16 {
        let mut command = redis::cmd("CLUSTER");
        command.arg("KEYSLOT").arg(key);
        command.query_async(&mut self.connect().await.unwrap()).await.unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn the_keys_of_a_stream_share_a_slot_and_streams_are_spread() {
    let directory = TempDir::with_prefix("queue-cluster-").unwrap();
    let node = Node::start(&directory).await;

    let mut slots = Vec::new();
    for tag in ["{q:risk}", "{q:settle:eip155:1}", "{q:settle:eip155:8453}", "{q:notify}"] {
        let slot = node.slot(tag).await;
        assert_eq!(slot, node.slot(&format!("{tag}:dead")).await);
        slots.push(slot);
    }

    slots.sort_unstable();
    slots.dedup();
    assert_eq!(slots.len(), 4);
}

#[tokio::test]
async fn everything_works_on_a_cluster() {
    let cluster = Cluster::start().await;
    let queue = cluster.queue();
    let subscriber = queue.subscribe();
    subscriber.connected().await;
    let mut watch = subscriber.watch("pay_1").unwrap();
    let networks = ["eip155:1", "eip155:10", "eip155:8453", "eip155:42161"];
    let mut streams: Vec<_> =
        networks.map(|name| Stream::settle(Network::try_from(name).unwrap())).into();
    streams.extend([Stream::Risk, Stream::Notify]);
    let workers: Vec<_> = streams
        .iter()
        .map(|stream| {
            Worker::start(&queue, stream.clone(), 4, |job: Job| async move {
                assert_ne!(job.id, "panic");
                Ok(())
            })
        })
        .collect();

    for stream in &streams {
        queue.bell().ring_all(stream, jobs(100));
        queue.push(stream, &[Job::new("panic")]).await.unwrap();
    }
    queue.publisher().publish([("pay_1", 2)]);
    let once = Quota { per_period: 1, period: Duration::from_secs(86_400), burst: 1 };
    for subject in 0..20 {
        for (process, allowed) in [(&queue, true), (&cluster.queue(), false)] {
            let limit = process.rate_limit("once", once);
            assert_eq!(limit.take(&subject.to_string(), 1).await.allowed, allowed);
        }
    }

    assert_eq!(watch.changed().await, 2);
    for (worker, stream) in workers.into_iter().zip(&streams) {
        worker.record.holds(&ids(100)).await;
        depth_is(&queue, stream, |depth| depth.dead == 1).await;
        emptied(&queue, stream).await;
        worker.stopped().await.unwrap();
    }
}
