//! The coalescer under concurrent callers, panics, overload and shutdown.
#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use proptest::prelude::*;
use runtime::coalesce::Limits;
use runtime::{CoalesceError, Coalescer};
use tokio::sync::{Semaphore, mpsc};

/// A flush that doubles its items, holds each batch until told to go on, and tells when one has begun.
struct Gate {
    go: Arc<Semaphore>,
    begun: mpsc::UnboundedReceiver<Vec<u32>>,
}

fn gated(max_batch: usize, max_in_flight: usize) -> (Coalescer<u32, u32>, Gate) {
    gated_by(Limits::new(max_batch, max_in_flight))
}

fn gated_by(limits: Limits) -> (Coalescer<u32, u32>, Gate) {
    let go = Arc::new(Semaphore::new(0));
    let (tell, begun) = mpsc::unbounded_channel();
    let gate = Gate { go: Arc::clone(&go), begun };
    let coalescer = Coalescer::spawn_with("gated", limits, move |items: Vec<u32>| {
        let (go, tell) = (Arc::clone(&go), tell.clone());
        async move {
            tell.send(items.clone()).unwrap();
            go.acquire().await.unwrap().forget();
            items.into_iter().map(|item| item * 2).collect()
        }
    });
    (coalescer, gate)
}

fn submit(
    coalescer: &Coalescer<u32, u32>,
    item: u32,
) -> tokio::task::JoinHandle<Result<u32, CoalesceError>> {
    let coalescer = coalescer.clone();
    tokio::spawn(async move { coalescer.submit(item).await })
}

/// Lets all other tasks of the single-threaded test runtime run until they wait.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_lone_caller_waits_for_nobody() {
    let (coalescer, mut gate) = gated(100, 1);
    gate.go.add_permits(1);
    assert_eq!(coalescer.submit(21).await, Ok(42));
    assert_eq!(gate.begun.recv().await, Some(vec![21]));
}

#[tokio::test]
async fn callers_gather_while_a_flush_is_under_way() {
    let (coalescer, mut gate) = gated(100, 1);
    let first = submit(&coalescer, 1);
    assert_eq!(gate.begun.recv().await, Some(vec![1]));
    let others: Vec<_> = (2..=5).map(|item| submit(&coalescer, item)).collect();
    settle().await;
    gate.go.add_permits(2);
    assert_eq!(gate.begun.recv().await, Some(vec![2, 3, 4, 5]));
    assert_eq!(first.await.unwrap(), Ok(2));
    let results: Vec<_> = join_all(others).await.into_iter().map(|r| r.unwrap().unwrap()).collect();
    assert_eq!(results, [4, 6, 8, 10]);
}

#[tokio::test]
async fn a_batch_is_never_larger_than_allowed() {
    let (coalescer, mut gate) = gated(2, 1);
    let first = submit(&coalescer, 0);
    gate.begun.recv().await.unwrap();
    let others: Vec<_> = (1..=5).map(|item| submit(&coalescer, item)).collect();
    settle().await;
    gate.go.add_permits(10);
    join_all(others).await;
    first.await.unwrap().unwrap();
    let mut sizes = Vec::new();
    while let Ok(batch) = gate.begun.try_recv() {
        sizes.push(batch.len());
    }
    assert_eq!(sizes, [2, 2, 1]);
}

#[tokio::test]
async fn a_batch_that_follows_closely_waits_until_it_is_full_or_nobody_else_comes() {
    let pace = Duration::from_secs(3_600);
    let (coalescer, mut gate) = gated_by(Limits { pace, ..Limits::new(2, 4) });
    gate.go.add_permits(10);
    assert_eq!(coalescer.submit(1).await, Ok(2));
    let second = submit(&coalescer, 2);
    settle().await;
    assert_eq!(gate.begun.try_recv(), Ok(vec![1]));
    assert!(gate.begun.try_recv().is_err(), "one of two did not wait");

    let third = submit(&coalescer, 3);
    assert_eq!(gate.begun.recv().await, Some(vec![2, 3]));
    let fourth = submit(&coalescer, 4);
    settle().await;
    coalescer.drain().await;

    assert_eq!(gate.begun.recv().await, Some(vec![4]));
    for (caller, result) in [(second, 4), (third, 6), (fourth, 8)] {
        assert_eq!(caller.await.unwrap(), Ok(result));
    }
}

#[tokio::test]
async fn a_batch_waits_no_longer_than_its_pace() {
    let pace = Duration::from_millis(20);
    let (coalescer, gate) = gated_by(Limits { pace, ..Limits::new(2, 4) });
    gate.go.add_permits(10);
    for item in 0..3 {
        assert_eq!(coalescer.submit(item).await, Ok(item * 2));
    }
}

#[tokio::test]
async fn as_many_flushes_run_at_once_as_allowed() {
    let (coalescer, mut gate) = gated(1, 2);
    let callers: Vec<_> = (0..3).map(|item| submit(&coalescer, item)).collect();
    gate.begun.recv().await.unwrap();
    gate.begun.recv().await.unwrap();
    settle().await;
    assert!(gate.begun.try_recv().is_err(), "a third flush began beside two");
    gate.go.add_permits(3);
    join_all(callers).await;
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let one = NonZeroUsize::MIN;
    let limits = Limits { queue: one, ..Limits::new(1, 1) };
    let coalescer = Coalescer::spawn_with("full", limits, |_items: Vec<u32>| {
        std::future::pending::<Vec<u32>>()
    });
    let flushed = submit(&coalescer, 1);
    settle().await;
    let queued = submit(&coalescer, 2);
    settle().await;
    assert_eq!(coalescer.submit(3).now_or_never(), Some(Err(CoalesceError::Overloaded)));
    assert!(!flushed.is_finished() && !queued.is_finished());
}

/// Item 13 makes its batch panic, item 7 makes it lose a result.
fn fragile() -> Coalescer<u32, u32> {
    Coalescer::spawn("fragile", 100, 1, |mut items: Vec<u32>| async move {
        tokio::task::yield_now().await;
        assert!(!items.contains(&13), "thirteen");
        items.retain(|item| *item != 7);
        items
    })
}

#[tokio::test]
async fn a_panicking_flush_fails_only_its_own_batch() {
    let coalescer = fragile();
    let before = coalescer.submit(1).await;
    let during = coalescer.submit(13).await;
    let after = coalescer.submit(2).await;
    assert_eq!((before, during, after), (Ok(1), Err(CoalesceError::Panicked), Ok(2)));
}

#[tokio::test]
async fn a_flush_that_panics_before_its_first_await_fails_only_its_own_batch() {
    let coalescer = Coalescer::spawn("hasty", 100, 1, |items: Vec<u32>| {
        assert!(items != [13], "thirteen");
        async move { items }
    });
    let during = coalescer.submit(13).await;
    let after = coalescer.submit(2).await;
    assert_eq!((during, after), (Err(CoalesceError::Panicked), Ok(2)));
}

#[tokio::test]
async fn a_flush_with_too_few_results_gives_none() {
    let coalescer = fragile();
    assert_eq!(coalescer.submit(7).await, Err(CoalesceError::Panicked));
    assert_eq!(coalescer.submit(2).await, Ok(2));
}

#[tokio::test]
async fn what_was_accepted_before_the_last_handle_went_is_flushed() {
    let (coalescer, mut gate) = gated(100, 1);
    let abandoned: Vec<_> = (1..=3).map(|item| submit(&coalescer, item)).collect();
    settle().await;
    for caller in &abandoned {
        caller.abort();
    }
    join_all(abandoned).await;
    drop(coalescer);
    gate.go.add_permits(10);
    let mut flushed = Vec::new();
    while let Some(batch) = gate.begun.recv().await {
        flushed.extend(batch);
    }
    assert_eq!(flushed, [1, 2, 3]);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_no_harm_to_its_batch() {
    let (coalescer, mut gate) = gated(100, 1);
    let first = submit(&coalescer, 0);
    gate.begun.recv().await.unwrap();
    let (gone, stays) = (submit(&coalescer, 1), submit(&coalescer, 2));
    settle().await;
    gone.abort();
    settle().await;
    gate.go.add_permits(2);
    assert_eq!(stays.await.unwrap(), Ok(4));
    first.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_drain_refuses_new_items_and_finishes_the_accepted_ones() {
    let (coalescer, gate) = gated(1, 1);
    let accepted: Vec<_> = (1..=3).map(|item| submit(&coalescer, item)).collect();
    settle().await;
    let draining = tokio::spawn({
        let coalescer = coalescer.clone();
        async move { coalescer.drain().await }
    });
    settle().await;
    assert_eq!(coalescer.submit(9).await, Err(CoalesceError::Closed));
    assert!(!draining.is_finished());
    gate.go.add_permits(3);
    draining.await.unwrap();
    let results: Vec<_> = join_all(accepted).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(results, [Ok(2), Ok(4), Ok(6)]);
}

#[tokio::test]
async fn a_drain_waits_for_a_flush_whose_callers_are_gone() {
    let (coalescer, mut gate) = gated(1, 1);
    let gone = submit(&coalescer, 1);
    gate.begun.recv().await.unwrap();
    gone.abort();
    let draining = tokio::spawn({
        let coalescer = coalescer.clone();
        async move { coalescer.drain().await }
    });
    settle().await;
    assert!(!draining.is_finished());
    gate.go.add_permits(1);
    draining.await.unwrap();
}

#[tokio::test]
async fn batch_sizes_and_refusals_are_measured() {
    let metrics = runtime::metrics::install().unwrap();
    let one = NonZeroUsize::MIN;
    let limits = Limits { queue: one, ..Limits::new(1, 1) };
    let coalescer = Coalescer::spawn_with("measured", limits, |items: Vec<u32>| async { items });
    let (_, refused) = tokio::join!(coalescer.submit(1), coalescer.submit(2));
    assert_eq!(refused, Err(CoalesceError::Overloaded));
    let text = metrics.render();
    assert!(text.contains(r#"coalesce_batch_size_bucket{name="measured",le="1"} 1"#), "{text}");
    assert!(text.contains(r#"coalesce_overloaded_total{name="measured"} 1"#), "{text}");
}

#[test]
fn a_flush_that_dies_with_its_runtime_has_an_unknown_outcome() {
    let dying = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let coalescer = dying.block_on(async {
        Coalescer::spawn("dying", 1, 1, |_items: Vec<u32>| std::future::pending::<Vec<u32>>())
    });
    let surviving = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let outcome = surviving.block_on(async {
        let caller = tokio::spawn(async move { coalescer.submit(1).await });
        settle().await;
        dying.shutdown_background();
        caller.await.unwrap()
    });
    assert!(matches!(outcome, Err(CoalesceError::Panicked)), "{outcome:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the limits and the number of callers: each has its own result, each item is flushed once, in batches
    /// within the limit, by no more flushes at once than allowed.
    #[test]
    fn every_caller_has_its_own_result(
        callers in 1_usize..300,
        max_batch in 1_usize..40,
        max_in_flight in 1_usize..5,
        workers in 1_usize..4,
    ) {
        let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build().unwrap();
        let flushed = Arc::new(Mutex::new(Vec::new()));
        let under_way = Arc::new(AtomicUsize::new(0));
        let limits = Limits { queue: NonZeroUsize::new(300).unwrap(), ..Limits::new(max_batch, max_in_flight) };
        let seen = Arc::clone(&flushed);
        let results = threads.block_on(async {
            let coalescer = Coalescer::spawn_with("property", limits, move |items: Vec<usize>| {
                let (seen, under_way) = (Arc::clone(&seen), Arc::clone(&under_way));
                async move {
                    assert!(under_way.fetch_add(1, Ordering::SeqCst) < max_in_flight);
                    assert!(items.len() <= max_batch);
                    seen.lock().unwrap().extend(items.clone());
                    tokio::task::yield_now().await;
                    under_way.fetch_sub(1, Ordering::SeqCst);
                    items.into_iter().map(|item| item + 1).collect()
                }
            });
            let tasks = (0..callers).map(|item| {
                let coalescer = coalescer.clone();
                tokio::spawn(async move { coalescer.submit(item).await })
            });
            join_all(tasks.collect::<Vec<_>>()).await
        });
        for (item, result) in results.into_iter().enumerate() {
            prop_assert_eq!(result.unwrap(), Ok(item + 1));
        }
        let mut flushed = Arc::try_unwrap(flushed).map_or_else(|shared| shared.lock().unwrap().clone(), |own| own.into_inner().unwrap());
        flushed.sort_unstable();
        prop_assert_eq!(flushed, (0..callers).collect::<Vec<_>>());
    }
}
