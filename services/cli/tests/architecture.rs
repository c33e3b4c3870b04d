//! The import rule: who of ours may depend on whom. A crate exists because it forbids something.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// What each crate may import of ours, besides dev-dependencies.
const RULE: [(&str, &[&str]); 19] = [
    ("domain", &[]),
    ("runtime", &[]),
    ("x402", &["domain"]),
    ("receipt", &["domain"]),
    ("store", &["domain"]),
    ("queue", &["domain"]),
    ("chain", &["domain", "x402"]),
    ("watchtower", &["domain", "store", "queue", "runtime"]),
    ("access", &["domain", "store", "queue", "runtime"]),
    ("reference", &["runtime"]),
    (
        "ingress",
        &[
            "access",
            "reference",
            "domain",
            "x402",
            "store",
            "queue",
            "chain",
            "runtime",
            "watchtower",
        ],
    ),
    (
        "results",
        &[
            "access",
            "reference",
            "domain",
            "x402",
            "receipt",
            "store",
            "queue",
            "runtime",
            "watchtower",
        ],
    ),
    ("risk", &["domain", "x402", "store", "queue", "chain", "runtime"]),
    ("settlement", &["domain", "x402", "store", "queue", "chain", "runtime"]),
    ("notifier", &["domain", "x402", "receipt", "store", "queue", "chain", "runtime"]),
    ("reconciler", &["domain", "x402", "store", "queue", "chain", "runtime"]),
    ("quittance", &["*"]),
    ("testkit", &["*"]),
    ("loadtest", &["*"]),
];

/// What the pure crates must never touch, not even through others of ours.
const IMPURE: [&str; 8] =
    ["tokio", "sqlx", "redis", "apalis", "axum", "reqwest", "rand", "getrandom"];

fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap();
            let names = dependencies
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .map(|dependency| dependency["name"].as_str().unwrap().to_owned());
            (package["name"].as_str().unwrap().to_owned(), names.collect())
        })
        .collect()
}

#[test]
fn no_crate_imports_what_the_architecture_forbids() {
    let packages = packages();
    let ours: BTreeSet<&String> = packages.keys().collect();
    for (name, dependencies) in &packages {
        let (_, allowed) =
            RULE.iter().find(|(crate_name, _)| crate_name == name).unwrap_or_else(|| {
                panic!("{name} has no line in the import rule: add one, and to ARCHITECTURE.md")
            });
        if *allowed == ["*"] {
            continue;
        }
        let imported = dependencies.iter().filter(|dependency| ours.contains(dependency));
        for dependency in imported {
            assert!(allowed.contains(&dependency.as_str()), "{name} must not import {dependency}");
        }
    }
}

#[test]
fn nothing_but_tests_and_measurements_depends_on_the_testkit() {
    let shipped = packages().into_iter().filter(|(name, _)| name != "loadtest");
    for (name, dependencies) in shipped {
        assert!(!dependencies.contains("testkit"), "{name} depends on testkit outside its tests");
    }
}

#[test]
fn the_pure_crates_stay_pure() {
    let packages = packages();
    for pure in ["domain", "x402", "receipt"] {
        for impure in IMPURE {
            assert!(!packages[pure].contains(impure), "{pure} must not depend on {impure}");
        }
    }
}

#[test]
fn redis_sql_and_nodes_each_have_one_crate_that_knows_them() {
    for (library, owners) in [
        ("redis", &["queue"][..]),
        ("apalis", &["queue"]),
        ("apalis-core", &["queue"]),
        ("sqlx", &["store", "testkit", "loadtest"]),
    ] {
        for (name, dependencies) in packages() {
            let allowed = owners.contains(&name.as_str());
            assert!(allowed || !dependencies.contains(library), "{name} must not know {library}");
        }
    }
}
