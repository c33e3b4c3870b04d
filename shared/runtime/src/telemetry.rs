//! Structured logs: one JSON object a line, always in the same shape.
//!
//! ```json
//! {"timestamp":"2026-03-01T12:00:07.412Z","level":"info","message":"request","service":"ingress",
//!  "traceId":"4bf9…","spanId":"00f0…","userId":"0x857b…","error":{"name":"…","message":"…","stack":"…"},
//!  "metadata":{"target":"access","request_id":"req_…","duration_ms":3}}
//! ```
//!
//! The fields `trace_id`, `span_id` and `user_id` of an event or of the spans around it become `traceId`, `spanId` and
//! `userId`; `error` (also `error.name`, `error.message`, `error.stack`) becomes `error`. Everything else goes to
//! `metadata`, where an inner span wins over an outer one and the event over both.

mod fields;
mod layer;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

pub use self::layer::JsonLayer;
use crate::Clock;

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is neither a level nor a list of directives.
    #[error("log.level: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// Another subscriber was installed before.
    #[error("logging was started before: {0}")]
    Started(#[from] TryInitError),
}

/// Starts logging to standard output, for the whole process, panics included. `level` is a level or a list of
/// directives such as `info,sqlx=warn`.
///
/// # Errors
/// When the level is malformed or logging was started before.
pub fn init(service: &'static str, level: &str) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(level)?;
    let lines = JsonLayer::new(service, Clock::system(), std::io::stdout);
    tracing_subscriber::registry().with(filter).with(lines).try_init()?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Logs a panic; the hook that [`init`] installs, for processes with a subscriber of their own.
pub fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("(a panic without a message)");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = Backtrace::capture();
    let stack = match backtrace.status() {
        BacktraceStatus::Captured => format!("{place}\n{backtrace}"),
        _ => place,
    };
    tracing::error!(
        error.name = "panic",
        error.message = message,
        error.stack = stack,
        "a thread panicked"
    );
}
