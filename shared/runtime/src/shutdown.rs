//! Stopping a process: one signal drains, a second one exits at once.

use std::collections::BTreeMap;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::AbortHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;

/// Exit status after a second SIGINT or SIGTERM: 128 + SIGTERM, as shells report it.
const EXIT_ON_SECOND_SIGNAL: i32 = 143;

/// The process's stop signal and the tasks that want to finish their work after it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tracker: TaskTracker,
    tasks: Arc<Mutex<Tasks>>,
}

#[derive(Debug, Default)]
struct Tasks {
    next: u64,
    running: BTreeMap<u64, RunningTask>,
    failed: Vec<&'static str>,
}

#[derive(Debug)]
struct RunningTask {
    name: &'static str,
    abort: AbortHandle,
}

/// How a drain ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Drained {
    /// Tasks that were still running at the deadline and were aborted.
    pub aborted: Vec<&'static str>,
    /// Tasks that panicked, or essential ones that ended by themselves, since the process started.
    pub failed: Vec<&'static str>,
}

impl Drained {
    /// True when every task finished in time and none failed: the process may exit with status 0.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.aborted.is_empty() && self.failed.is_empty()
    }
}

impl Shutdown {
    /// A shutdown that only [`Shutdown::trigger`] starts; for tests and embedded use.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A shutdown that SIGTERM and SIGINT start. A second signal exits the process at once with status 143.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(follow_signals(shutdown.token.clone(), terminate, interrupt));
        Ok(shutdown)
    }

    /// The token that is cancelled when the process should stop.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Resolves once the shutdown has begun.
    pub fn triggered(&self) -> WaitForCancellationFutureOwned {
        self.token.clone().cancelled_owned()
    }

    /// True once the shutdown has begun.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Begins the shutdown. Doing so again changes nothing.
    pub fn trigger(&self) {
        self.token.cancel();
    }

    /// Runs a task that [`Shutdown::drain`] waits for. A panic is logged and reported by the drain.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.track(name, task, Role::Ordinary);
    }

    /// Runs a task without which the process is useless: its end before the shutdown begins the shutdown.
    pub fn spawn_essential(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.track(name, task, Role::Essential);
    }

    /// Waits until the shutdown has begun and every tracked task has ended, at most `deadline` after it began;
    /// then aborts what is left.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        self.token.cancelled().await;
        self.tracker.close();
        let in_time = tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok();
        let aborted = if in_time { Vec::new() } else { self.abort_stragglers() };
        Drained { aborted, failed: self.lock().failed.clone() }
    }

    fn track(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
        role: Role,
    ) {
        // The lock is held across the spawn so that the task cannot end before it is listed.
        let mut tasks = self.lock();
        let number = tasks.next;
        tasks.next = number.wrapping_add(1);
        let shutdown = self.clone();
        let handle = self.tracker.spawn(async move {
            let outcome = AssertUnwindSafe(task).catch_unwind().await;
            shutdown.ended(number, name, role, outcome.is_err());
        });
        tasks.running.insert(number, RunningTask { name, abort: handle.abort_handle() });
    }

    fn ended(&self, number: u64, name: &'static str, role: Role, panicked: bool) {
        let early = matches!(role, Role::Essential) && !self.is_triggered();
        let mut tasks = self.lock();
        tasks.running.remove(&number);
        if panicked || early {
            tracing::error!(task = name, panicked, "a task ended that should not have");
            tasks.failed.push(name);
        }
        drop(tasks);
        if matches!(role, Role::Essential) {
            self.trigger();
        }
    }

    fn abort_stragglers(&self) -> Vec<&'static str> {
        let running = std::mem::take(&mut self.lock().running);
        running
            .into_values()
            .map(|task| {
                tracing::warn!(task = task.name, "a task did not finish in time and is aborted");
                task.abort.abort();
                task.name
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        // Nothing panics while holding it, and the list stays valid if something did.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy)]
enum Role {
    Ordinary,
    Essential,
}

async fn follow_signals(token: CancellationToken, mut terminate: Signal, mut interrupt: Signal) {
    let first = next_signal(&mut terminate, &mut interrupt).await;
    tracing::info!(signal = first, "stopping: finishing what is under way");
    token.cancel();
    let second = next_signal(&mut terminate, &mut interrupt).await;
    tracing::warn!(signal = second, "second signal: exiting at once");
    std::process::exit(EXIT_ON_SECOND_SIGNAL);
}

async fn next_signal(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_drain_waits_for_tasks_that_finish_their_work() {
        let shutdown = Shutdown::new();
        let token = shutdown.token();
        let (done, finished) = tokio::sync::oneshot::channel();
        shutdown.spawn("finisher", async move {
            token.cancelled().await;
            tokio::task::yield_now().await;
            done.send(()).unwrap();
        });
        shutdown.trigger();
        assert!(shutdown.drain(SOON).await.is_clean());
        finished.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ignores_the_shutdown_is_aborted_at_the_deadline() {
        let shutdown = Shutdown::new();
        shutdown.spawn("deaf", std::future::pending());
        shutdown.trigger();
        assert_eq!(shutdown.drain(SOON).await.aborted, ["deaf"]);
    }

    #[tokio::test]
    async fn a_panicking_task_is_reported_and_stops_nothing() {
        let shutdown = Shutdown::new();
        shutdown.spawn("clumsy", async { panic!("dropped it") });
        shutdown.spawn("steady", shutdown.triggered());
        tokio::task::yield_now().await;
        assert!(!shutdown.is_triggered());
        shutdown.trigger();
        assert_eq!(shutdown.drain(SOON).await.failed, ["clumsy"]);
    }

    #[tokio::test]
    async fn the_end_of_an_essential_task_begins_the_shutdown() {
        let shutdown = Shutdown::new();
        shutdown.spawn_essential("heart", async {});
        let drained = shutdown.drain(SOON).await;
        assert_eq!(drained.failed, ["heart"]);
    }
}
