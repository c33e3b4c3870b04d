//! What happens when all goes well.

use std::sync::Arc;
use std::time::Duration;

use queue::{Job, Network, Stream};
use tokio::sync::{Barrier, Semaphore};

use crate::redis_server::RedisServer;
use crate::stage::{LONG_LEASE, Worker, depth_is, emptied, eventually, ids, jobs, queue};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_job_is_done_once_and_leaves_the_stream() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let worker = Worker::recording(&queue, Stream::Risk, 16);

    queue.push(&Stream::Risk, &jobs(3_000)).await.unwrap();

    worker.record.holds(&ids(3_000)).await;
    emptied(&queue, &Stream::Risk).await;
    assert_eq!(worker.record.runs().len(), 3_000);
    worker.stopped().await.unwrap();
}

#[tokio::test]
async fn a_job_arrives_as_it_was_rung() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
    let worker = Worker::start(&queue, Stream::Notify, 1, move |job| {
        sender.send(job).unwrap();
        async { Ok(()) }
    });
    let job = Job::new("wh_1").with_traceparent(Some("00-4bf92f35-00f067aa-01".to_owned()));

    queue.bell().ring(&Stream::Notify, job.clone());

    assert_eq!(received.recv().await.unwrap(), job);
    worker.stopped().await.unwrap();
}

#[tokio::test]
async fn two_streams_do_not_mix() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let base = Stream::settle(Network::try_from("eip155:8453").unwrap());
    let mainnet = Stream::settle(Network::try_from("eip155:1").unwrap());
    let on_base = Worker::recording(&queue, base.clone(), 4);
    let on_mainnet = Worker::recording(&queue, mainnet.clone(), 4);

    queue.push(&base, &[Job::new("base")]).await.unwrap();
    queue.push(&mainnet, &[Job::new("mainnet")]).await.unwrap();

    emptied(&queue, &base).await;
    emptied(&queue, &mainnet).await;
    on_base.stopped().await.unwrap();
    on_mainnet.stopped().await.unwrap();
}

#[tokio::test]
async fn two_prefixes_share_a_server_without_mixing() {
    let redis = RedisServer::start().await;
    let with_prefix = |prefix: &str| {
        let mut config = crate::stage::config(&redis, LONG_LEASE);
        config.prefix = prefix.to_owned();
        queue::Queue::connect(config).unwrap()
    };
    let (ours, theirs) = (with_prefix("ours:"), with_prefix("theirs:"));

    ours.push(&Stream::Risk, &jobs(3)).await.unwrap();

    assert_eq!(ours.depth(&Stream::Risk).await.unwrap().length, 3);
    assert_eq!(theirs.depth(&Stream::Risk).await.unwrap().length, 0);
}

#[tokio::test]
async fn no_more_is_read_than_can_run() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let gate = Arc::new(Semaphore::new(0));
    queue.push(&Stream::Risk, &jobs(20)).await.unwrap();

    let worker = Worker::start(&queue, Stream::Risk, 4, {
        let gate = Arc::clone(&gate);
        move |_| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                Ok(())
            }
        }
    });

    eventually("four run", async || (worker.record.runs().len() == 4).then_some(())).await;
    let depth = queue.depth(&Stream::Risk).await.unwrap();
    assert_eq!((depth.pending, depth.lag, depth.length), (4, 16, 20));
    gate.add_permits(1);
    eventually("a fifth runs", async || (worker.record.runs().len() == 5).then_some(())).await;
    depth_is(&queue, &Stream::Risk, |depth| (depth.pending, depth.length) == (4, 19)).await;
    gate.add_permits(20);
    worker.stopped().await.unwrap();
}

#[tokio::test]
async fn a_line_is_as_old_as_the_first_job_that_nobody_has_taken() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let line = async || queue.waiting_for(&Stream::Risk).await.unwrap();
    assert_eq!(line().await, None, "there is no stream");
    queue.push(&Stream::Risk, &jobs(5)).await.unwrap();
    assert!(line().await.is_some(), "there is no group");

    let gate = Arc::new(Semaphore::new(0));
    let worker = Worker::start(&queue, Stream::Risk, 4, {
        let gate = Arc::clone(&gate);
        move |_| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                Ok(())
            }
        }
    });
    eventually("four run", async || (worker.record.runs().len() == 4).then_some(())).await;
    let before = line().await.expect("the fifth waits");
    eventually("it grows older", async || (line().await > Some(before)).then_some(())).await;

    gate.add_permits(4);
    eventually("the fifth runs", async || (worker.record.runs().len() == 5).then_some(())).await;
    assert_eq!(line().await, None, "who runs waits no more");
    queue.push(&Stream::Risk, &jobs(8)).await.unwrap();
    eventually("others wait", async || line().await.map(|_| ())).await;
    assert!(line().await < Some(before + LONG_LEASE), "their own time counts");
    gate.add_permits(20);
    worker.stopped().await.unwrap();
}

/// Handlers that block their thread can only meet if they run on different ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn handlers_run_on_several_threads() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let meeting = Arc::new(std::sync::Barrier::new(2));
    let worker = Worker::start(&queue, Stream::Risk, 2, move |_| {
        let meeting = Arc::clone(&meeting);
        async move {
            meeting.wait();
            Ok(())
        }
    });

    queue.push(&Stream::Risk, &jobs(2)).await.unwrap();

    emptied(&queue, &Stream::Risk).await;
    worker.stopped().await.unwrap();
}

#[tokio::test]
async fn a_handler_slower_than_the_lease_runs_once() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, Duration::from_secs(1));
    let second_half = Arc::new(Barrier::new(2));
    let slow = Worker::start(&queue, Stream::Risk, 1, {
        let second_half = Arc::clone(&second_half);
        move |_| {
            let second_half = Arc::clone(&second_half);
            async move {
                second_half.wait().await;
                Ok(())
            }
        }
    });
    queue.push(&Stream::Risk, &jobs(1)).await.unwrap();
    slow.record.holds(&ids(1)).await;
    let idle = Worker::recording(&queue, Stream::Risk, 4);

    // Four leases: time is what this test is about.
    tokio::time::sleep(Duration::from_secs(4)).await;
    second_half.wait().await;

    emptied(&queue, &Stream::Risk).await;
    assert_eq!(slow.record.runs().len(), 1);
    assert_eq!(idle.record.runs().len(), 0);
    slow.stopped().await.unwrap();
    idle.stopped().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_jobs_leave_no_memory_behind() {
    const JOBS: usize = 100_000;
    const ROUND: usize = 10_000;
    /// A tenth of what the jobs would take if they stayed.
    const ALLOWANCE: u64 = 1_500_000;
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let worker = Worker::recording(&queue, Stream::Risk, 64);
    queue.push(&Stream::Risk, &jobs(ROUND)).await.unwrap();
    emptied(&queue, &Stream::Risk).await;
    let before = used_memory(&redis).await;

    for _ in 0..JOBS / ROUND {
        queue.push(&Stream::Risk, &jobs(ROUND)).await.unwrap();
    }

    let depth = depth_is(&queue, &Stream::Risk, |depth| depth.length == 0).await;
    assert_eq!((depth.pending, depth.dead), (0, 0));
    assert_eq!(worker.record.runs().len(), JOBS + ROUND);
    eventually("the memory is back", async || {
        (used_memory(&redis).await < before + ALLOWANCE).then_some(())
    })
    .await;
    worker.stopped().await.unwrap();
}

async fn used_memory(redis: &RedisServer) -> u64 {
    let mut connection = redis.connect().await;
    let mut command = redis::cmd("INFO");
    let info: String = command.arg("memory").query_async(&mut connection).await.unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.unwrap().parse().unwrap()
}
