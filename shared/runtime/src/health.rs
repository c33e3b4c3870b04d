//! Liveness and readiness, served beside the metrics on a listener of their own.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use futures::future::{BoxFuture, FutureExt, join_all};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::metrics::MetricsHandle;

/// The longest a single check may take before it counts as failed.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest error text shown for a failed check, in characters.
const MAX_ERROR_CHARS: usize = 200;

type CheckFn = dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync;

/// Everything the operator's listener serves: `/healthz`, `/readyz` and `/metrics`.
pub fn router(health: Health, metrics: MetricsHandle) -> Router {
    health.router().merge(metrics.router())
}

/// The dependencies without which this process cannot do its work, each with a check.
#[derive(Clone, Default)]
pub struct Health {
    checks: Vec<Check>,
    stopping: Option<CancellationToken>,
}

#[derive(Clone)]
struct Check {
    name: &'static str,
    run: Arc<CheckFn>,
}

impl Health {
    /// No dependencies yet: always ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a dependency. `check` is run anew for each `/readyz`, together with all others, for at most
    /// [`CHECK_TIMEOUT`]; its error text is shown there, so it must hold no secret.
    #[must_use]
    pub fn check<F, Fut, E>(mut self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        let run = move || check().map(|result| result.map_err(|error| shown(&error))).boxed();
        self.checks.push(Check { name, run: Arc::new(run) });
        self
    }

    /// Reports not ready as soon as `stopping` is cancelled, so that no new traffic is sent to a draining process.
    #[must_use]
    pub fn until(mut self, stopping: CancellationToken) -> Self {
        self.stopping = Some(stopping);
        self
    }

    /// Runs all checks at once.
    pub async fn report(&self) -> Report {
        if self.stopping.as_ref().is_some_and(CancellationToken::is_cancelled) {
            return Report { status: Readiness::Stopping, checks: Vec::new() };
        }
        let checks = join_all(self.checks.iter().map(Check::perform)).await;
        let ready = checks.iter().all(|check| check.error.is_none());
        let status = if ready { Readiness::Ok } else { Readiness::Error };
        Report { status, checks }
    }

    /// `GET /healthz` (200 while the process can answer at all) and `GET /readyz` (200, or 503 with the failing
    /// checks).
    pub fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .with_state(Arc::new(self))
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.checks.iter().map(|check| check.name)).finish()
    }
}

impl Check {
    async fn perform(&self) -> CheckReport {
        let started = Instant::now();
        let check = AssertUnwindSafe(async { (self.run)().await }).catch_unwind();
        let error = match tokio::time::timeout(CHECK_TIMEOUT, check).await {
            Ok(Ok(result)) => result.err(),
            Ok(Err(_panic)) => Some("the check panicked".to_owned()),
            Err(_) => Some(format!("no answer within {} s", CHECK_TIMEOUT.as_secs())),
        };
        let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        CheckReport { name: self.name, ok: error.is_none(), latency_ms, error }
    }
}

/// The body of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// All checks together.
    pub status: Readiness,
    /// One entry for each dependency, in the order they were added.
    pub checks: Vec<CheckReport>,
}

/// Whether traffic may be sent here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Readiness {
    /// Every check passed.
    Ok,
    /// At least one check failed.
    Error,
    /// The process is shutting down; nothing was checked.
    Stopping,
}

/// One dependency's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The dependency's name.
    pub name: &'static str,
    /// True when it answered.
    pub ok: bool,
    /// How long the check took, in milliseconds.
    pub latency_ms: u64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

async fn healthz() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "status": "ok" }))
}

async fn readyz(State(health): State<Arc<Health>>) -> (StatusCode, Json<Report>) {
    let report = health.report().await;
    let status = match report.status {
        Readiness::Ok => StatusCode::OK,
        Readiness::Error | Readiness::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(report))
}

fn shown(error: &impl fmt::Display) -> String {
    error.to_string().chars().take(MAX_ERROR_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    async fn fine() -> Result<(), Infallible> {
        Ok(())
    }

    #[tokio::test]
    async fn a_process_without_dependencies_is_ready() {
        assert_eq!(Health::new().report().await.status, Readiness::Ok);
    }

    #[tokio::test]
    async fn one_failing_dependency_makes_the_process_unready_and_is_named() {
        let health =
            Health::new().check("postgres", fine).check("redis", || async { Err("refused") });
        let report = health.report().await;
        assert_eq!(report.status, Readiness::Error);
        let failed: Vec<_> = report.checks.iter().filter(|check| !check.ok).collect();
        assert_eq!((failed[0].name, failed[0].error.as_deref()), ("redis", Some("refused")));
    }

    #[tokio::test(start_paused = true)]
    async fn hanging_checks_are_cut_off_together() {
        let hang = std::future::pending::<Result<(), Infallible>>;
        let health = Health::new().check("one", hang).check("two", hang);
        let started = tokio::time::Instant::now();
        let report = health.report().await;
        assert_eq!(started.elapsed(), CHECK_TIMEOUT);
        assert!(report.checks.iter().all(|check| check.error.is_some()));
    }

    #[tokio::test]
    async fn a_panicking_check_is_a_failing_one() {
        let panicking = || async { panic!("at the disco") as Result<(), Infallible> };
        let report = Health::new().check("one", panicking).check("two", fine).report().await;
        let failing: Vec<_> = report.checks.iter().map(|check| check.ok).collect();
        assert_eq!(failing, [false, true]);
    }

    #[tokio::test]
    async fn a_stopping_process_is_not_ready() {
        let token = CancellationToken::new();
        let health = Health::new().check("postgres", fine).until(token.clone());
        token.cancel();
        let (status, _) = readyz(State(Arc::new(health))).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
}
