//! Somebody else's program, and what it says.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use testkit::eventually;

/// How long a program may take to say what is expected of it, a settlement included.
const LIMIT: Duration = Duration::from_secs(90);

/// A running program, killed by its id when this is dropped.
pub(crate) struct Program {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Program {
    /// Starts it.
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{} does not start: {error}", command.get_program().display())
        });
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (output, kept) = (child.stdout.take().unwrap(), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Self { child, lines }
    }

    /// Every line so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits until one of its lines is of this kind, and gives what that says.
    pub(crate) async fn says<T>(&self, kind: impl Fn(&str) -> Option<T>) -> T {
        eventually(LIMIT, || std::future::ready(self.lines().iter().find_map(|line| kind(line))))
            .await
    }

    /// Waits until it has ended, and gives all that it said.
    pub(crate) async fn ends(mut self) -> (ExitStatus, Vec<String>) {
        let status = eventually(LIMIT, || std::future::ready(self.child.try_wait().unwrap())).await;
        // The pipe is read to its end by another thread, which then lets go of the lines.
        eventually(LIMIT, || {
            std::future::ready((Arc::strong_count(&self.lines) == 1).then_some(()))
        })
        .await;
        (status, self.lines())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only where it is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
