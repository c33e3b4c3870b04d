//! A consumer in a process of its own, to be killed: this test binary, started again.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use queue::{Job, Queue, QueueConfig, Stream};

use crate::stage::{LONG_LEASE, Worker};

const URL: &str = "QUEUE_TEST_CHILD_URL";
const LEASE: &str = "QUEUE_TEST_CHILD_LEASE_MS";
const LIMIT: &str = "QUEUE_TEST_CHILD_DELIVERY_LIMIT";
/// The job that takes its process down.
pub(crate) const POISON: &str = "poison";
/// How many jobs the child runs at a time.
pub(crate) const CONCURRENCY: usize = 64;

/// A child that works on the risk stream. Its handlers never end, and [`POISON`] ends the process.
pub(crate) struct ChildWorker(Child);

impl ChildWorker {
    pub(crate) fn start(url: &str, lease: Duration, delivery_limit: u32) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child::runs_when_it_is_started_as_a_child"])
            .env(URL, url)
            .env(LEASE, lease.as_millis().to_string())
            .env(LIMIT, delivery_limit.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Kills the process where it is.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for ChildWorker {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test of its own: the child's program, and nothing when run among the tests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_when_it_is_started_as_a_child() {
    let variable = |name| Some(std::env::var_os(name)?.into_string().unwrap());
    let Some(url) = variable(URL) else {
        return;
    };
    let mut config = QueueConfig::new(url);
    config.lease = Duration::from_millis(variable(LEASE).unwrap().parse().unwrap());
    config.delivery_limit = variable(LIMIT).unwrap().parse().unwrap();
    let queue = Queue::connect(config).unwrap();
    let _worker = Worker::start(&queue, Stream::Risk, CONCURRENCY, |job: Job| {
        if job.id == POISON {
            std::process::abort();
        }
        std::future::pending()
    });
    tokio::time::sleep(LONG_LEASE).await;
}
