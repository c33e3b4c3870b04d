//! How long a node takes, as those who ask it measure it.

/// The metric that tells.
const DURATIONS: &str = "rpc_request_duration_seconds";

/// Calls of one method, and the time they took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct NodeTimes {
    pub(crate) calls: u64,
    seconds: f64,
}

#[expect(clippy::float_arithmetic, reason = "figures for people; no amount is among them")]
impl NodeTimes {
    /// Adds what the metrics of one process say of this method, of all nodes together.
    pub(crate) fn add(&mut self, metrics: &str, method: &str) {
        let label = format!("method=\"{method}\"");
        for line in metrics.lines().filter(|line| line.contains(&label)) {
            let Some(rest) = line.strip_prefix(DURATIONS) else { continue };
            let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
            let value = value.unwrap_or_default();
            if rest.starts_with("_sum{") {
                self.seconds += value;
            } else if rest.starts_with("_count{") {
                self.calls += value as u64;
            }
        }
    }

    /// What came after these.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(before.calls),
            seconds: self.seconds - before.seconds,
        }
    }

    /// How long one call took on average, in milliseconds.
    pub(crate) fn mean_ms(self) -> f64 {
        self.seconds * 1_000.0 / self.calls.max(1) as f64
    }

    /// How many of these there are for each call.
    pub(crate) fn share_of(self, count: usize) -> f64 {
        count as f64 / self.calls.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_one_method_are_those_of_all_nodes_and_processes() {
        let metrics = "
rpc_request_duration_seconds_bucket{network=\"eip155:1\",url_name=\"a\",method=\"eth_call\",le=\"0.001\"} 7
rpc_request_duration_seconds_sum{network=\"eip155:1\",url_name=\"a\",method=\"eth_call\"} 0.5
rpc_request_duration_seconds_count{network=\"eip155:1\",url_name=\"a\",method=\"eth_call\"} 100
rpc_request_duration_seconds_sum{network=\"eip155:1\",url_name=\"b\",method=\"eth_call\"} 0.25
rpc_request_duration_seconds_count{network=\"eip155:1\",url_name=\"b\",method=\"eth_call\"} 20
rpc_request_duration_seconds_sum{network=\"eip155:1\",url_name=\"a\",method=\"eth_chainId\"} 9
rpc_request_duration_seconds_count{network=\"eip155:1\",url_name=\"a\",method=\"eth_chainId\"} 9
rpc_requests_total{network=\"eip155:1\",url_name=\"a\",method=\"eth_call\"} 100";
        let mut before = NodeTimes::default();
        before.add(metrics, "eth_call");
        assert_eq!(before, NodeTimes { calls: 120, seconds: 0.75 });
        let mut after = before;
        after.add(metrics, "eth_call");
        let between = after.since(before);
        assert!((between.mean_ms() - 6.25).abs() < 1e-9);
        assert!((between.share_of(240) - 2.0).abs() < 1e-9);
        assert!(NodeTimes::default().mean_ms().abs() < f64::EPSILON);
    }
}
