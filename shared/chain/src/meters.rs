//! What is counted and measured about nodes.

use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Describes every metric of this crate, so that their series carry help.
pub fn describe_metrics() {
    describe_counter!("rpc_requests_total", "Requests to nodes, by URL and method");
    describe_counter!("rpc_errors_total", "Requests to nodes without an answer to act on");
    describe_histogram!(
        "rpc_request_duration_seconds",
        Unit::Seconds,
        "How long nodes took to answer, or were waited for"
    );
    describe_gauge!(
        "breaker_state",
        "1 while a dependency is left alone, 0.5 while it is probed, 0 while it is used"
    );
}

/// The series of one URL.
#[derive(Debug)]
pub(crate) struct Meters {
    network: String,
    url_name: String,
}

impl Meters {
    pub(crate) const fn new(network: String, url_name: String) -> Self {
        Self { network, url_name }
    }

    pub(crate) fn url_name(&self) -> &str {
        &self.url_name
    }

    pub(crate) fn request(&self, method: &'static str, took: Duration, failed: bool) {
        let labels = || {
            [
                metrics::Label::new("network", self.network.clone()),
                metrics::Label::new("url_name", self.url_name.clone()),
                metrics::Label::new("method", method),
            ]
            .to_vec()
        };
        metrics::counter!("rpc_requests_total", labels()).increment(1);
        metrics::histogram!("rpc_request_duration_seconds", labels()).record(took);
        if failed {
            metrics::counter!("rpc_errors_total", labels()).increment(1);
        }
    }

    pub(crate) fn breaker(&self, level: f64) {
        let (network, dependency) = (self.network.clone(), format!("rpc:{}", self.url_name));
        metrics::gauge!("breaker_state", "network" => network, "dependency" => dependency)
            .set(level);
    }
}
