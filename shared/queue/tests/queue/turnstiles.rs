//! Limits that each process decides on at once, and that all settle with each other.

use std::time::Duration;

use queue::{Queue, Quota, Turnstile};

use crate::redis_server::RedisServer;
use crate::stage::{LONG_LEASE, config, eventually, queue};

/// So slow that nothing is earned while a test runs.
const SLOW: Quota = Quota { per_period: 10, period: Duration::from_secs(864_000), burst: 5 };

fn passed(turnstile: &Turnstile, subject: &str, times: usize) -> usize {
    (0..times).filter(|_| turnstile.take(SLOW, subject, 1).allowed).count()
}

#[tokio::test]
async fn what_one_process_let_through_the_others_count_too() {
    let redis = RedisServer::start().await;
    let [one, other] = [queue(&redis, LONG_LEASE), queue(&redis, LONG_LEASE)];
    let (one, other) = (one.turnstile("requests"), other.turnstile("requests"));
    assert_eq!(passed(&one, "key", 9), 5);
    // It lets through what it may until it has heard, and then nothing.
    let mut before_it_heard = 0;
    eventually("the other has heard", async || match other.take(SLOW, "key", 1).allowed {
        true => {
            before_it_heard += 1;
            None
        }
        false => Some(()),
    })
    .await;
    assert!(before_it_heard <= 5, "{before_it_heard}");
    // Together they are in debt, which the next process hears of with its first round.
    let third = queue(&redis, LONG_LEASE);
    let third = third.turnstile("requests");
    assert!(third.take(SLOW, "key", 1).allowed);
    eventually("the third has heard", async || {
        (third.take(SLOW, "key", 0).remaining == 0).then_some(())
    })
    .await;
    // Other subjects and other turnstiles are nobody's business.
    assert_eq!(passed(&one, "another key", 9), 5);
    let elsewhere = queue(&redis, LONG_LEASE);
    assert_eq!(passed(&elsewhere.turnstile("elsewhere"), "key", 9), 5);
}

#[tokio::test]
async fn what_was_given_back_the_others_do_not_count() {
    let redis = RedisServer::start().await;
    let turnstile = queue(&redis, LONG_LEASE).turnstile("requests");
    let mut connection = redis.connect().await;
    let mut due = async || -> Option<u64> {
        let mut keys = redis::cmd("KEYS");
        let keys: Vec<String> = keys.arg("*").query_async(&mut connection).await.unwrap();
        let mut get = redis::cmd("GET");
        get.arg(keys.first()?).query_async(&mut connection).await.unwrap()
    };
    assert_eq!(passed(&turnstile, "key", 4), 4);
    let before = eventually("it is told", async || due().await).await;
    for _ in 0..3 {
        turnstile.give_back(SLOW, "key", 1);
    }
    let after = before - 3 * 86_400_000_000;
    eventually("it is told", async || (due().await == Some(after)).then_some(())).await;
    // The last one makes it full, and nothing is kept of it.
    turnstile.give_back(SLOW, "key", 1);
    eventually("nothing is kept", async || due().await.is_none().then_some(())).await;
}

#[tokio::test]
async fn many_subjects_are_told_of_and_nothing_is_kept_of_what_is_full_again() {
    let redis = RedisServer::start().await;
    let turnstile = queue(&redis, LONG_LEASE).turnstile("requests");
    let quick = Quota { per_period: 2, period: Duration::from_secs(1), burst: 1 };
    let mut connection = redis.connect().await;
    let mut keys =
        async || -> u64 { redis::cmd("DBSIZE").query_async(&mut connection).await.unwrap() };
    for subject in 0..1_000 {
        assert!(turnstile.take(SLOW, &format!("slow {subject}"), 1).allowed);
        assert!(turnstile.take(quick, &format!("quick {subject}"), 1).allowed);
    }
    eventually("all are told of", async || (keys().await >= 1_000).then_some(())).await;
    eventually("the full ones are gone", async || (keys().await == 1_000).then_some(())).await;
}

#[tokio::test]
async fn while_redis_is_away_each_process_keeps_to_the_quota_by_itself() {
    let mut redis = RedisServer::start().await;
    let process = || {
        let mut config = config(&redis, LONG_LEASE);
        config.limit_timeout = Duration::from_millis(50);
        Queue::connect(config).unwrap().turnstile("requests")
    };
    let turnstiles = [process(), process()];
    redis.freeze();
    for turnstile in &turnstiles {
        assert_eq!(passed(turnstile, "a", 20), 5);
    }
    redis.thaw();
    redis.kill();
    for turnstile in &turnstiles {
        assert_eq!(passed(turnstile, "a", 20), 0);
        assert_eq!(passed(turnstile, "b", 20), 5);
    }
}
