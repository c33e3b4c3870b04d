//! Process plumbing that every role of Quittance shares. Knows nothing of payments.

pub mod clock;
pub mod coalesce;
pub mod config;
pub mod health;
pub mod problem;
mod shape;
pub mod shutdown;

pub use clock::{Clock, ClockHand};
pub use coalesce::{CoalesceError, Coalescer};
pub use config::{Config, ConfigError};
pub use health::Health;
pub use problem::{FieldError, Problem, ProblemCode};
pub use shutdown::{Drained, Shutdown};
