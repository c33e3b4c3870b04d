//! The process's Prometheus metrics.

mod process;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

/// Upper bounds of histograms whose name ends in `_seconds`; alerts ask for 2 and 5.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
    60.0,
];

/// Upper bounds of all other histograms: sizes and counts.
const SIZES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

/// Upper bounds of gas per payment: a token's transfer alone is about 70,000, in a batch 40,000.
const GAS: &[f64] = &[
    21_000.0,
    30_000.0,
    35_000.0,
    40_000.0,
    45_000.0,
    50_000.0,
    60_000.0,
    70_000.0,
    80_000.0,
    100_000.0,
    150_000.0,
    300_000.0,
    1_000_000.0,
];

/// How often samples are moved into their buckets when nobody scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What Prometheus expects of the text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Shows the recorded metrics. Cheap to clone.
#[derive(Clone)]
pub struct MetricsHandle {
    prometheus: PrometheusHandle,
    /// Sets gauges that nobody changes but who looks.
    look: Arc<dyn Fn() + Send + Sync>,
}

static INSTALLED: Mutex<Option<MetricsHandle>> = Mutex::new(None);

/// Makes the `metrics` macros record, for the whole process. Later calls return the first one's handle.
///
/// # Errors
/// When another recorder was installed before.
pub fn install() -> Result<MetricsHandle, BuildError> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = installed.as_ref() {
        return Ok(handle.clone());
    }
    let handle =
        MetricsHandle { prometheus: builder()?.install_recorder()?, look: Arc::new(|| {}) };
    *installed = Some(handle.clone());
    Ok(handle)
}

impl MetricsHandle {
    /// The same handle, which has `look` called before it renders: for gauges of what can be seen at any time.
    #[must_use]
    pub fn looking(self, look: impl Fn() + Send + Sync + 'static) -> Self {
        Self { look: Arc::new(look), ..self }
    }

    /// All metrics in Prometheus' text format, those of the process itself included.
    #[must_use]
    pub fn render(&self) -> String {
        (self.look)();
        let mut text = self.prometheus.render();
        text.push_str(&process::render());
        text
    }

    /// Keeps the memory of unscraped samples bounded until `stop` is cancelled.
    pub async fn upkeep(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.prometheus.run_upkeep();
        }
    }

    /// `GET /metrics`.
    pub fn router(self) -> Router {
        let show = move || async move { ([(CONTENT_TYPE, TEXT_FORMAT)], self.render()) };
        Router::new().route("/metrics", get(show))
    }
}

impl std::fmt::Debug for MetricsHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricsHandle").finish_non_exhaustive()
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets(SIZES)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_batch_size".to_owned()), SIZES)?
        .set_buckets_for_metric(Matcher::Suffix("_gas_per_payment".to_owned()), GAS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(record: impl FnOnce()) -> String {
        let recorder = builder().unwrap().build_recorder();
        ::metrics::with_local_recorder(&recorder, record);
        recorder.handle().render()
    }

    #[test]
    fn durations_fall_into_buckets_of_seconds() {
        let text =
            rendered(|| ::metrics::histogram!("http_request_duration_seconds").record(0.003));
        assert!(text.contains(r#"http_request_duration_seconds_bucket{le="0.0025"} 0"#), "{text}");
        assert!(text.contains(r#"http_request_duration_seconds_bucket{le="0.005"} 1"#), "{text}");
    }

    #[test]
    fn what_can_be_seen_at_any_time_is_looked_at_before_each_answer() {
        let handle = install().unwrap().looking(|| ::metrics::counter!("looks_total").increment(1));
        assert!(handle.render().contains("looks_total 1"));
        assert!(handle.render().contains("looks_total 2"));
    }

    #[test]
    fn batch_sizes_fall_into_buckets_of_counts() {
        let text = rendered(|| ::metrics::histogram!("coalesce_batch_size").record(64.0));
        assert!(text.contains(r#"coalesce_batch_size_bucket{le="100"} 1"#), "{text}");
    }

    #[test]
    fn installing_twice_gives_the_same_metrics() {
        let (first, second) = (install().unwrap(), install().unwrap());
        ::metrics::counter!("installed_total").increment(1);
        assert!(first.render().contains("installed_total 1"));
        assert!(second.render().contains("installed_total 1"));
    }
}
