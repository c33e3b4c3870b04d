//! Limits of how often, that several processes keep together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use queue::{Queue, Quota, RateLimit, Verdict};
use redis::Script;
use redis::aio::MultiplexedConnection;

use crate::redis_server::RedisServer;
use crate::stage::{LONG_LEASE, config, eventually, queue};

/// So slow that nothing is earned while a test runs.
const SLOW: Quota = Quota { per_period: 10, period: Duration::from_secs(864_000), burst: 5 };

const SCRIPT: &str = include_str!("../../src/scripts/rate_limit.lua");

async fn passed(limit: &RateLimit, subject: &str, times: usize) -> usize {
    let mut passed = 0;
    for _ in 0..times {
        passed += usize::from(limit.take(subject, 1).await.allowed);
    }
    passed
}

#[tokio::test]
async fn processes_that_ask_at_the_same_instant_share_one_bucket_for_each_subject() {
    let redis = RedisServer::start().await;
    let processes = [queue(&redis, LONG_LEASE), queue(&redis, LONG_LEASE)];
    let allowed = Arc::new(AtomicU64::new(0));
    let asking = (0..40).map(|number| {
        let limit = processes[number % 2].rate_limit("settle", SLOW);
        let allowed = Arc::clone(&allowed);
        tokio::spawn(async move {
            allowed.fetch_add(u64::from(limit.take("10.0.0.1", 1).await.allowed), Ordering::Relaxed)
        })
    });
    for asked in asking.collect::<Vec<_>>() {
        asked.await.unwrap();
    }
    assert_eq!(allowed.load(Ordering::Relaxed), 5);

    let of = |process: &Queue, name| process.rate_limit(name, SLOW);
    assert_eq!(passed(&of(&processes[0], "settle"), "10.0.0.2", 9).await, 5);
    assert_eq!(passed(&of(&processes[1], "verify"), "10.0.0.1", 9).await, 5);
    let Verdict { allowed, remaining, retry_after, reset } =
        of(&processes[0], "settle").take("10.0.0.1", 1).await;
    assert_eq!((allowed, remaining), (false, 0));
    assert!(retry_after <= Duration::from_secs(86_400) && reset > Duration::from_secs(345_600));
}

#[tokio::test]
async fn what_is_earned_with_time_is_had_again() {
    let redis = RedisServer::start().await;
    let quick = Quota { per_period: 20, period: Duration::from_secs(1), burst: 1 };
    let limit = queue(&redis, LONG_LEASE).rate_limit("quick", quick);
    for _ in 0..3 {
        eventually("one is earned", async || limit.take("a", 1).await.allowed.then_some(())).await;
    }
    // A bucket that is full again is not kept.
    let mut connection = redis.connect().await;
    eventually("nothing is kept", async || {
        let keys: u64 = redis::cmd("DBSIZE").query_async(&mut connection).await.unwrap();
        (keys == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn while_redis_is_away_or_silent_each_process_limits_by_itself() {
    let mut redis = RedisServer::start().await;
    let process = || {
        let mut config = config(&redis, LONG_LEASE);
        config.limit_timeout = Duration::from_millis(50);
        Queue::connect(config).unwrap()
    };
    let limits = [process(), process()].map(|process| process.rate_limit("settle", SLOW));
    redis.freeze();
    for limit in &limits {
        assert_eq!(passed(limit, "a", 20).await, 5);
    }
    redis.thaw();
    redis.kill();
    for limit in &limits {
        assert_eq!(passed(limit, "a", 20).await, 0);
        assert_eq!(passed(limit, "b", 20).await, 5);
    }
    redis.run().await;
    // One of the two takes what the other can have no more.
    eventually("Redis keeps the limit again", async || {
        limits[0].take("c", 1).await;
        let seen = limits[1].take("c", 0).await;
        (seen.remaining < 5).then_some(())
    })
    .await;
}

/// One step of a schedule: how much later it is asked, and for how much.
type Step = (u64, u32);

fn schedules() -> impl Strategy<Value = (Quota, Vec<Step>)> {
    // Slower than any test, because what is full by Redis' own clock is forgotten.
    let quota = (1u32..20, 1u64..10, 1u32..10).prop_map(|(per_period, days, burst)| Quota {
        per_period,
        period: Duration::from_secs(days * 86_400),
        burst,
    });
    (quota, prop::collection::vec((0u64..100_000_000_000, 0u32..12), 1..30))
}

/// Asks the script as it would answer at this time, in microseconds.
async fn ask(
    connection: &mut MultiplexedConnection,
    key: &str,
    (quota, cost): (Quota, u32),
    now: u64,
) -> (u64, u64) {
    let told = format!("{{ '{}', '{}' }}", now / 1_000_000, now % 1_000_000);
    let at_that_time = SCRIPT.replace("redis.call('TIME')", &told);
    assert_ne!(at_that_time, SCRIPT);
    let interval = quota.period.as_micros() / u128::from(quota.per_period);
    let of = |count: u32| (interval * u128::from(count)).to_string();
    let script = Script::new(&at_that_time);
    let mut call = script.key(key);
    call.arg(of(quota.burst)).arg(of(cost.min(quota.burst)));
    call.invoke_async(connection).await.unwrap()
}

#[tokio::test]
async fn the_script_decides_as_the_arithmetic_does() {
    let redis = RedisServer::start().await;
    let mut connection = redis.connect().await;
    let mut runner = TestRunner::deterministic();
    for number in 0..40 {
        let (quota, steps) = schedules().new_tree(&mut runner).unwrap().current();
        let (mut due, mut now) = (0, 1_700_000_000_000_000);
        for (pause, cost) in steps {
            now += pause;
            let (next, verdict) = quota.decide(due, now, cost);
            let (ahead, over) =
                ask(&mut connection, &format!("s{number}"), (quota, cost), now).await;
            let told = (Duration::from_micros(ahead), Duration::from_micros(over));
            assert_eq!(told, (verdict.reset, verdict.retry_after), "{quota:?} {now} {cost}");
            assert_eq!(over == 0, verdict.allowed);
            due = next;
        }
    }
}
