//! What is counted and measured about nodes.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

/// What is asked of every node first.
const FIRST_METHOD: &str = "eth_chainId";

/// The series of one URL.
#[derive(Debug)]
pub(crate) struct Meters {
    network: String,
    url_name: String,
}

impl Meters {
    /// Shows what can be counted before anything was asked.
    pub(crate) fn new(network: String, url_name: String) -> Self {
        let meters = Self { network, url_name };
        let labels = meters.labels(FIRST_METHOD);
        counter!("rpc_requests_total", labels.iter()).increment(0);
        counter!("rpc_errors_total", labels.iter()).increment(0);
        drop(histogram!("rpc_request_duration_seconds", labels.iter()));
        meters
    }

    pub(crate) fn url_name(&self) -> &str {
        &self.url_name
    }

    /// Counts a request; with the first of a method its errors appear, at zero where it had an answer.
    pub(crate) fn request(&self, method: &'static str, took: Duration, failed: bool) {
        let labels = self.labels(method);
        counter!("rpc_requests_total", labels.iter()).increment(1);
        histogram!("rpc_request_duration_seconds", labels.iter()).record(took);
        counter!("rpc_errors_total", labels.iter()).increment(u64::from(failed));
    }

    pub(crate) fn breaker(&self, level: f64) {
        let (network, dependency) = (self.network.clone(), format!("rpc:{}", self.url_name));
        gauge!("breaker_state", "network" => network, "dependency" => dependency).set(level);
    }

    fn labels(&self, method: &'static str) -> [metrics::Label; 3] {
        [
            metrics::Label::new("network", self.network.clone()),
            metrics::Label::new("url_name", self.url_name.clone()),
            metrics::Label::new("method", method),
        ]
    }
}
