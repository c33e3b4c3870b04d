//! SIGTERM and SIGINT, sent to processes of their own: this very test binary, told to run one of the children.
#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::Shutdown;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A child ends by itself after this, whatever happens to its parent.
const CHILD_LIFETIME: Duration = Duration::from_secs(60);

/// A process that says what it does, line by line.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Runs one of the ignored tests below.
    fn start(test: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", test])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn says(&mut self, wanted: &str) {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            // The test harness prints its own words in front of the first line.
            if line.ends_with(wanted) {
                return;
            }
        }
        panic!("the process ended without saying {wanted}");
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.id().unwrap().try_into().unwrap();
        kill(Pid::from_raw(id), signal).unwrap();
    }

    async fn status(&mut self) -> Option<i32> {
        self.child.wait().await.unwrap().code()
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// Waits for a signal, then drains one task; `work` is what the task does after the signal.
async fn live(work: impl Future<Output = ()> + Send + 'static) -> bool {
    let shutdown = Shutdown::on_signals().unwrap();
    let stopping = shutdown.triggered();
    shutdown.spawn("worker", async move {
        stopping.await;
        say("draining");
        work.await;
    });
    say("ready");
    let drained = tokio::time::timeout(CHILD_LIFETIME, shutdown.drain(CHILD_LIFETIME)).await;
    drained.is_ok_and(|drained| drained.is_clean())
}

#[tokio::test]
#[ignore = "run by other tests as a process of its own"]
async fn child_that_finishes() {
    assert!(live(async {}).await);
}

#[tokio::test]
#[ignore = "run by other tests as a process of its own"]
async fn child_that_never_finishes() {
    assert!(!live(std::future::pending()).await);
}

#[tokio::test]
async fn either_signal_drains_the_process() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut process = Process::start("child_that_finishes");
        process.says("ready").await;
        process.signal(signal);
        process.says("draining").await;
        assert_eq!(process.status().await, Some(0), "{signal}");
    }
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    let mut process = Process::start("child_that_never_finishes");
    process.says("ready").await;
    process.signal(Signal::SIGTERM);
    process.says("draining").await;
    process.signal(Signal::SIGINT);
    assert_eq!(process.status().await, Some(143));
}
