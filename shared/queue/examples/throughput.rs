//! How many jobs a second can be rung and done.
//!
//! `cargo run --release -p queue --example throughput -- redis://127.0.0.1/ [jobs] [concurrency]`
#![expect(clippy::print_stdout, reason = "it is a program that reports")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use queue::{Job, Queue, QueueConfig, Stream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How many jobs one call pushes.
const PUSH: usize = 10_000;
/// How long a backlog may take to be worked off.
const PATIENCE: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("usage: throughput URL [jobs] [concurrency]")?;
    let jobs = arguments.next().map_or(Ok(200_000), |text| text.parse::<usize>())?;
    let concurrency = arguments.next().map_or(Ok(64), |text| text.parse::<usize>())?;
    let concurrency = NonZeroUsize::new(concurrency).ok_or("concurrency has to be at least 1")?;

    let mut config = QueueConfig::new(url);
    config.prefix = "throughput:".to_owned();
    let queue = Queue::connect(config)?;

    let started = Instant::now();
    for first in (0..jobs).step_by(PUSH) {
        let batch: Vec<_> = (first..jobs.min(first + PUSH)).map(job).collect();
        queue.push(&Stream::Risk, &batch).await?;
    }
    report("pushed", jobs, started.elapsed());
    drain("worked off", &queue, jobs, concurrency).await?;

    let started = Instant::now();
    let bell = queue.bell();
    let mut rung = 0;
    while rung < jobs {
        let batch = PUSH.min(jobs - rung);
        bell.ring_all(&Stream::Risk, (rung..rung + batch).map(job));
        rung += batch;
        bell.flush(PATIENCE).await;
    }
    report("rung", jobs, started.elapsed());
    drain("worked off", &queue, jobs, concurrency).await
}

fn job(number: usize) -> Job {
    Job::new(format!("pay_0193f2a7-5e0c-7c3e-9d5b-{number:012}"))
}

async fn drain(
    what: &str,
    queue: &Queue,
    jobs: usize,
    concurrency: NonZeroUsize,
) -> Result<(), Box<dyn std::error::Error>> {
    let done = Arc::new(AtomicUsize::new(0));
    let all_done = Arc::new(Notify::new());
    let handler = {
        let (done, all_done) = (Arc::clone(&done), Arc::clone(&all_done));
        move |_job: Job| {
            if done.fetch_add(1, Ordering::Relaxed) + 1 == jobs {
                all_done.notify_one();
            }
            async { Ok(()) }
        }
    };
    let shutdown = CancellationToken::new();
    let started = Instant::now();
    let worker = tokio::spawn({
        let (queue, shutdown) = (queue.clone(), shutdown.clone());
        async move { queue.work(Stream::Risk, concurrency, handler, shutdown).await }
    });
    tokio::time::timeout(PATIENCE, all_done.notified()).await?;
    report(what, jobs, started.elapsed());
    shutdown.cancel();
    worker.await??;
    Ok(())
}

fn report(what: &str, jobs: usize, took: Duration) {
    let millis = took.as_millis().max(1);
    let rate = jobs as u128 * 1_000 / millis;
    println!("{what} {jobs} jobs in {millis} ms: {rate} per second");
}
