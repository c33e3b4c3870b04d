//! A server process that ends with the value that started it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::eventually;

/// How long a server may take to end when it is asked to.
const END: Duration = Duration::from_secs(20);

/// A child process, killed by its id when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a program whose output goes to the file `log`.
    pub(crate) fn spawn(mut command: Command, log: &Path) -> Self {
        let output = std::fs::File::create(log).unwrap();
        let errors = output.try_clone().unwrap();
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{} does not start: {error}", command.get_program().display())
        });
        Self { child }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.id()).unwrap());
        kill(pid, signal).unwrap();
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn end(mut self, signal: Signal) {
        self.signal(signal);
        eventually(END, || std::future::ready(self.has_ended().then_some(()))).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where it is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The program that the variable names, or else the first of these paths, relative to the
/// checkout, that is there.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration but this")]
pub(crate) fn program(variable: &str, paths: &[String]) -> Option<PathBuf> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let named = std::env::var(variable).ok().map(PathBuf::from);
    named.into_iter().chain(paths.iter().map(|path| checkout.join(path))).find(|path| path.exists())
}
