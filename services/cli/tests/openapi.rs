//! The committed document of the HTTP API is what the code says, and holds together.

use std::process::Command;

const COMMITTED: &str = include_str!("../../../docs/openapi.json");

#[test]
fn the_committed_document_is_what_the_code_says() {
    let program = Command::new(env!("CARGO_BIN_EXE_quittance")).arg("openapi").output().unwrap();
    let printed = String::from_utf8(program.stdout).unwrap();
    let refresh = "docs/openapi.json is out of date: cargo run -- openapi > docs/openapi.json";
    // Not `assert_eq`, which would print both.
    assert!(printed == COMMITTED, "{refresh}");
}
