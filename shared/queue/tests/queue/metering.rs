//! What is counted.

use metrics_exporter_prometheus::PrometheusBuilder;
use queue::{HandlerError, Job, Stream};

use crate::redis_server::RedisServer;
use crate::stage::{LONG_LEASE, PATIENCE, Worker, depth_is, queue};

/// On one thread, so that everything counts on this thread's recorder.
#[tokio::test(flavor = "current_thread")]
async fn rings_and_outcomes_are_counted_by_stream() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let figures = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let worker = Worker::start(&queue, Stream::Risk, 2, |job: Job| async move {
        match job.id.as_str() {
            "fail" => Err(HandlerError::new("as it was told")),
            "panic" => panic!("as it was told"),
            _ => Ok(()),
        }
    });

    let jobs = ["well", "well too", "fail", "panic", ""].map(Job::new);
    queue.bell().ring_all(&Stream::Risk, jobs);
    assert!(queue.bell().flush(PATIENCE).await);
    depth_is(&queue, &Stream::Risk, |depth| (depth.length, depth.dead) == (0, 2)).await;
    worker.stopped().await.unwrap();

    let figures = figures.render();
    let expected = [
        r#"queue_rings_total{stream="risk",outcome="sent"} 5"#,
        r#"queue_jobs_total{stream="risk",outcome="done"} 2"#,
        r#"queue_jobs_total{stream="risk",outcome="error"} 1"#,
        r#"queue_jobs_total{stream="risk",outcome="panic"} 1"#,
        r#"queue_jobs_total{stream="risk",outcome="undecodable"} 1"#,
        r#"queue_job_seconds_count{stream="risk"} 4"#,
    ];
    for line in expected {
        assert!(figures.contains(line), "{line} is missing:\n{figures}");
    }
    assert!(!figures.contains("queue_redis_errors_total{"), "{figures}");
}
