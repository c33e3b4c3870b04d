//! Bounds that several processes keep together.

use std::time::Duration;

use queue::{Bounds, Passage, Queue};

use crate::redis_server::RedisServer;
use crate::stage::{LONG_LEASE, eventually, queue};

const STAY: Duration = Duration::from_secs(600);

async fn ask(queue: &Queue, gate: &str, who: &str, bounds: Bounds) -> Passage {
    queue.gates().enter(gate, who, bounds, STAY).await.unwrap()
}

#[tokio::test]
async fn no_more_are_inside_than_may_be_whichever_process_asks() {
    let redis = RedisServer::start().await;
    let processes = [queue(&redis, LONG_LEASE), queue(&redis, LONG_LEASE)];
    let bounds = Bounds { at_once: Some(2), per_second: None };
    for (process, who) in processes.iter().zip(["a", "b"]) {
        assert_eq!(ask(process, "gate", who, bounds).await, Passage::Inside);
    }
    assert_eq!(ask(&processes[0], "gate", "c", bounds).await, Passage::Full);
    assert_eq!(ask(&processes[0], "other", "c", bounds).await, Passage::Inside);
    assert_eq!(ask(&processes[1], "gate", "a", bounds).await, Passage::Inside);

    processes[1].gates().leave("gate", "a").await.unwrap();

    assert_eq!(ask(&processes[0], "gate", "c", bounds).await, Passage::Inside);
}

#[tokio::test]
async fn who_dies_inside_is_out_when_the_stay_is_over() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let bounds = Bounds { at_once: Some(1), per_second: None };
    let short = Duration::from_millis(1);
    assert_eq!(queue.gates().enter("gate", "a", bounds, short).await.unwrap(), Passage::Inside);
    eventually("the place is free", async || {
        (ask(&queue, "gate", "b", bounds).await == Passage::Inside).then_some(())
    })
    .await;
}

#[tokio::test]
async fn no_more_pass_in_a_second_than_may() {
    let redis = RedisServer::start().await;
    let processes = [queue(&redis, LONG_LEASE), queue(&redis, LONG_LEASE)];
    let bounds = Bounds { at_once: None, per_second: Some(1) };
    assert_eq!(ask(&processes[0], "gate", "a", bounds).await, Passage::Inside);
    let wait = eventually("somebody must wait", async || {
        match ask(&processes[1], "gate", "b", bounds).await {
            Passage::After(wait) => Some(wait),
            Passage::Inside | Passage::Full => None,
        }
    })
    .await;
    assert!(wait <= Duration::from_secs(1));
}
