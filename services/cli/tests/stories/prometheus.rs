//! A real Prometheus that scrapes processes and reads our rules.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use testkit::{eventually, http};

/// How long it may take to be ready.
const START: Duration = Duration::from_secs(60);

/// This file of the checkout.
pub(crate) fn checkout(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file).canonicalize().unwrap()
}

/// Where Prometheus' programs are. They are fetched by whoever asks first.
pub(crate) fn programs() -> PathBuf {
    let output = Command::new(checkout("ops/programs")).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "Prometheus' programs cannot be had");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
}

/// A running Prometheus, killed when this is dropped.
pub(crate) struct Prometheus {
    child: Child,
    url: String,
    http: reqwest::Client,
    _folder: TempDir,
}

impl Prometheus {
    /// Scrapes these addresses every second.
    pub(crate) async fn scraping(targets: &[String]) -> Self {
        let folder = TempDir::new().unwrap();
        let config = folder.path().join("prometheus.yaml");
        let rules = checkout("ops/prometheus/rules");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [\"{}/*.yaml\"]\n\
             scrape_configs: [{{job_name: quittance, static_configs: [{{targets: {targets:?}}}]}}]\n",
            rules.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new(programs().join("prometheus"))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let url = format!("http://{}", address(&mut child));
        let prometheus = Self { child, url, http: http::client(), _folder: folder };
        let ready = format!("{}/-/ready", prometheus.url);
        eventually(START, || async {
            prometheus.http.get(&ready).send().await.ok()?.error_for_status().ok()
        })
        .await;
        prometheus
    }

    /// What an expression gives now: one value for each series.
    pub(crate) async fn ask(&self, expression: &str) -> Vec<Value> {
        let answer = self.get(&format!("query?query={}", encoded(expression))).await;
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        match &answer["data"]["result"] {
            Value::Array(series) => series.clone(),
            other => panic!("{expression}: {other}"),
        }
    }

    /// What is asked below `/api/v1/`.
    pub(crate) async fn get(&self, what: &str) -> Value {
        let url = format!("{}/api/v1/{what}", self.url);
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Both fail only where it is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The address that it says it listens on. What else it says is read to its end, and nothing is done with it.
fn address(child: &mut Child) -> String {
    let (found, finding) = mpsc::channel();
    let output = BufReader::new(child.stderr.take().unwrap());
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if line.contains("\"Listening on\"") {
                let address = line.split("address=").nth(1).unwrap().trim().to_owned();
                found.send(address).ok();
            }
        }
    });
    finding.recv_timeout(START).expect("Prometheus says where it listens")
}

/// As a value of a query.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
