//! Process plumbing that every role of Quittance shares. Knows nothing of payments.

pub mod clock;
pub mod coalesce;
pub mod config;
pub mod egress;
pub mod fail_point;
pub mod health;
pub mod http;
pub mod id;
pub mod json;
pub mod metrics;
pub mod open_files;
pub mod problem;
mod shape;
pub mod shutdown;
pub mod telemetry;
pub mod trace;

pub use clock::{Clock, ClockHand};
pub use coalesce::{CoalesceError, Coalescer};
pub use config::{Config, ConfigError};
pub use egress::{EgressClient, EgressError, EgressOptions, EgressResponse};
pub use fail_point::{FailPoint, fail_point};
pub use health::Health;
pub use http::RequestId;
pub use id::{new_uuid, random_bytes};
pub use json::JsonBody;
pub use metrics::MetricsHandle;
pub use problem::{FieldError, Problem, ProblemCode};
pub use shutdown::{Drained, Shutdown};
pub use trace::TraceContext;
