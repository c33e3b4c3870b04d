//! The commands that containers are checked with: `quittance health` and `quittance config`.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread;

use serde_json::Value;

/// Runs `quittance` with nothing in its environment but these variables.
fn quittance(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quittance"));
    command.args(arguments).env_clear().envs(variables.iter().copied()).output().unwrap()
}

/// A listener that gives its one caller this answer; its address.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (mut caller, _) = listener.accept().unwrap();
        let mut asked = [0; 4096];
        let read = caller.read(&mut asked).unwrap();
        assert!(asked[..read].starts_with(b"GET /readyz HTTP/1.1"));
        caller.write_all(answer.as_bytes()).unwrap();
    });
    address
}

const NEEDED: [(&str, &str); 2] =
    [("DATABASE_URL", "postgres://app:hunter2@db/q"), ("REDIS_URL", "redis://cache")];

#[test]
fn a_ready_process_is_healthy_and_asked_where_its_settings_say() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"status\":\"ok\"}";
    let address = answering(answer);
    let mut variables = NEEDED.to_vec();
    variables.push(("QUITTANCE_METRICS__LISTEN", &address));
    let output = quittance(&["health"], &variables);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"{\"status\":\"ok\"}\n");
}

#[test]
fn a_process_that_is_not_ready_is_unhealthy_and_what_it_says_is_shown() {
    let address = answering(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 18\r\n\r\n{\"status\":\"error\"}",
    );
    let output = quittance(&["health", &format!("http://{address}/readyz")], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"{\"status\":\"error\"}\n");
    assert!(String::from_utf8(output.stderr).unwrap().contains("answers 503"));
}

#[test]
fn where_nobody_listens_nobody_is_healthy() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = quittance(&["health", &format!("http://{free}/readyz")], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("no answer from"));
}

#[test]
fn settings_are_printed_as_json_without_secrets() {
    let output = quittance(&["config"], &NEEDED);
    assert!(output.status.success(), "{output:?}");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["metrics"]["listen"], "127.0.0.1:9464");
    let doubts = String::from_utf8(output.stderr).unwrap();
    assert!(doubts.contains("networks: none is configured"), "{doubts}");
    assert!(!String::from_utf8(output.stdout).unwrap().contains("hunter2"));
}

#[test]
fn settings_that_cannot_be_used_are_refused_with_their_names() {
    let mut variables = NEEDED.to_vec();
    variables.push(("QUITTANCE_INGRESS__LISTENS", "0.0.0.0:4020"));
    let output = quittance(&["config"], &variables);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), b"".as_slice()));
    let refusal = String::from_utf8(output.stderr).unwrap();
    assert!(refusal.contains("QUITTANCE_INGRESS__LISTENS"), "{refusal}");
}
