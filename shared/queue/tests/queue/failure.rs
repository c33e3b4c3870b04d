//! Jobs that cannot be handled.

use std::sync::Arc;
use std::time::Duration;

use queue::{HandlerError, Job, Queue, Stream};
use tokio::sync::Semaphore;

use crate::redis_server::RedisServer;
use crate::stage::{LONG_LEASE, Worker, config, depth_is, emptied, ids, jobs, queue};

/// Fails, panics or hangs as the job's id says.
async fn obey(job: Job) -> Result<(), HandlerError> {
    match job.id.as_str() {
        "fail" => Err(HandlerError::new("as it was told")),
        "panic" => panic!("as it was told"),
        "hang" => std::future::pending().await,
        _ => Ok(()),
    }
}

#[tokio::test]
async fn a_failed_job_is_acknowledged_and_not_repeated() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let worker = Worker::start(&queue, Stream::Risk, 2, obey);

    queue.push(&Stream::Risk, &[Job::new("fail")]).await.unwrap();

    worker.record.holds(&["fail".to_owned()].into()).await;
    let depth = depth_is(&queue, &Stream::Risk, |depth| depth.length == 0).await;
    assert_eq!(depth.dead, 0);
    assert_eq!(worker.record.runs(), ["fail"]);
    worker.stopped().await.unwrap();
}

#[tokio::test]
async fn a_panicking_job_goes_to_the_dead_stream_and_the_worker_lives_on() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let worker = Worker::start(&queue, Stream::Risk, 2, obey);

    queue.push(&Stream::Risk, &[Job::new("panic")]).await.unwrap();
    queue.push(&Stream::Risk, &jobs(10)).await.unwrap();

    worker.record.holds(&ids(10)).await;
    depth_is(&queue, &Stream::Risk, |depth| (depth.length, depth.dead) == (0, 1)).await;
    let dead = queue.dead_entries(&Stream::Risk, 10).await.unwrap();
    assert_eq!(dead[0].reason, "the handler panicked: as it was told");
    assert_eq!(dead[0].body, br#"{"v":1,"id":"panic"}"#);
    assert_eq!(dead[0].deliveries, 1);
    worker.stopped().await.unwrap();
}

/// A panic before the first await is one in the call, not in the future.
#[tokio::test]
async fn a_handler_that_panics_before_it_waits_is_caught_too() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let worker = Worker::start(&queue, Stream::Risk, 2, |job: Job| {
        assert_ne!(job.id, "panic", "as it was told");
        async { Ok(()) }
    });

    queue.push(&Stream::Risk, &[Job::new("panic")]).await.unwrap();
    queue.push(&Stream::Risk, &jobs(1)).await.unwrap();

    depth_is(&queue, &Stream::Risk, |depth| (depth.length, depth.dead) == (0, 1)).await;
    worker.stopped().await.unwrap();
}

#[tokio::test]
async fn undecodable_entries_go_to_the_dead_stream_and_the_worker_lives_on() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let worker = Worker::recording(&queue, Stream::Risk, 2);
    let mut connection = redis.connect().await;
    let fields: [(&[u8], &[u8]); 4] = [
        (b"job", b"{\"v\":1"),
        (b"job", br#"{"v":9,"id":"newer"}"#),
        (b"job", b"\xff\xfe"),
        (b"\xff", b"not ours at all"),
    ];

    for (name, value) in fields {
        let mut command = redis::cmd("XADD");
        command.arg("{q:risk}").arg("*").arg(name).arg(value);
        command.exec_async(&mut connection).await.unwrap();
    }
    queue.push(&Stream::Risk, &jobs(5)).await.unwrap();

    worker.record.holds(&ids(5)).await;
    depth_is(&queue, &Stream::Risk, |depth| (depth.length, depth.dead) == (0, 4)).await;
    let dead = queue.dead_entries(&Stream::Risk, 10).await.unwrap();
    let reasons: Vec<_> = dead.iter().map(|entry| entry.reason.as_str()).collect();
    assert!(reasons.contains(&"version 9 is not understood"), "{reasons:?}");
    assert!(reasons.contains(&"the entry has no job in it"), "{reasons:?}");
    worker.stopped().await.unwrap();
}

#[tokio::test]
async fn a_handler_that_hangs_is_stopped_at_its_deadline() {
    let redis = RedisServer::start().await;
    let mut config = config(&redis, LONG_LEASE);
    config.handler_deadline = Duration::from_millis(100);
    let queue = Queue::connect(config).unwrap();
    let worker = Worker::start(&queue, Stream::Risk, 1, obey);

    queue.push(&Stream::Risk, &[Job::new("hang")]).await.unwrap();
    queue.push(&Stream::Risk, &jobs(1)).await.unwrap();

    worker.record.holds(&ids(1)).await;
    emptied(&queue, &Stream::Risk).await;
    worker.stopped().await.unwrap();
}

#[tokio::test]
async fn the_dead_stream_is_read_newest_first_and_no_more_than_asked() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let worker =
        Worker::start(&queue, Stream::Risk, 1, |job: Job| async move { panic!("{}", job.id) });

    queue.push(&Stream::Risk, &jobs(5)).await.unwrap();

    depth_is(&queue, &Stream::Risk, |depth| depth.dead == 5).await;
    let dead = queue.dead_entries(&Stream::Risk, 2).await.unwrap();
    let reasons: Vec<_> = dead.iter().map(|entry| entry.reason.as_str()).collect();
    assert_eq!(reasons, ["the handler panicked: job-000004", "the handler panicked: job-000003"]);
    worker.stopped().await.unwrap();
}

#[tokio::test]
async fn a_redis_without_memory_delays_dead_letters_and_nothing_else() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let gate = Arc::new(Semaphore::new(0));
    let worker = Worker::start(&queue, Stream::Risk, 11, {
        let gate = Arc::clone(&gate);
        move |job| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                obey(job).await
            }
        }
    });
    queue.push(&Stream::Risk, &[Job::new("panic")]).await.unwrap();
    queue.push(&Stream::Risk, &jobs(10)).await.unwrap();
    depth_is(&queue, &Stream::Risk, |depth| depth.pending == 11).await;

    limit_memory(&redis, 1).await;
    assert!(queue.push(&Stream::Risk, &jobs(1)).await.is_err());
    gate.add_permits(11);
    depth_is(&queue, &Stream::Risk, |depth| depth.length <= 1).await;
    limit_memory(&redis, 0).await;

    depth_is(&queue, &Stream::Risk, |depth| (depth.length, depth.dead) == (0, 1)).await;
    worker.stopped().await.unwrap();
}

/// Sets how many bytes Redis may use; 0 is no limit.
async fn limit_memory(redis: &RedisServer, bytes: u64) {
    let mut command = redis::cmd("CONFIG");
    command.arg("SET").arg("maxmemory").arg(bytes);
    command.exec_async(&mut redis.connect().await).await.unwrap();
}
