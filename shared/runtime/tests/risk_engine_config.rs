//! The risk engine's settings, under our own names and under those of x402-secure.
#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

use std::io;
use std::path::Path;

use runtime::config::{Dialect, RiskEngineConfig};
use runtime::{Config, ConfigError};
use secrecy::ExposeSecret;

const URL: &str = "https://risk.example";

fn read(file: &str, variables: &[(&str, &str)]) -> Result<RiskEngineConfig, ConfigError> {
    let needed = [("DATABASE_URL", "postgres://db/q"), ("REDIS_URL", "redis://cache")];
    let environment: Vec<(String, String)> = needed
        .iter()
        .chain(variables)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let read_file = |path: &Path| match path.to_str().unwrap() {
        "/run/token" => Ok("from-a-file\n".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    Config::from_sources(file, &environment, &read_file).map(|config| config.risk.engine)
}

#[test]
fn the_dialect_follows_from_what_is_set_on_one_page() {
    let local = "[risk.engine]\ndialect = \"local\"\n";
    let score = "[risk.engine]\ndialect = \"score\"\n";
    let trustline = "[risk.engine]\ndialect = \"trustline\"\nurl = \"https://risk.example\"\n";
    for (file, variables, dialect, url) in [
        ("", &[][..], Dialect::Off, None),
        ("", &[("PROXY_LOCAL_RISK", "1")], Dialect::Local, None),
        ("", &[("PROXY_LOCAL_RISK", "true")], Dialect::Local, None),
        ("", &[("PROXY_LOCAL_RISK", "Yes")], Dialect::Local, None),
        ("", &[("PROXY_LOCAL_RISK", "0")], Dialect::Off, None),
        // Compose files pass unset variables on as empty ones.
        ("", &[("PROXY_LOCAL_RISK", ""), ("RISK_ENGINE_URL", "")], Dialect::Off, None),
        (local, &[("PROXY_LOCAL_RISK", "1")], Dialect::Local, None),
        ("", &[("RISK_ENGINE_URL", "https://risk.example//")], Dialect::Trustline, Some(URL)),
        (score, &[("RISK_ENGINE_URL", URL)], Dialect::Score, Some(URL)),
        (
            "",
            &[("RISK_ENGINE_URL", URL), ("QUITTANCE_RISK__ENGINE__DIALECT", "score")],
            Dialect::Score,
            Some(URL),
        ),
        (
            "",
            &[("RISK_ENGINE_URL", URL), ("PROXY_LOCAL_RISK", "no")],
            Dialect::Trustline,
            Some(URL),
        ),
        (
            "",
            &[("RISK_ENGINE_URL", URL), ("RISK_ENGINE_COMPAT", "tl")],
            Dialect::Trustline,
            Some(URL),
        ),
        (trustline, &[("RISK_ENGINE_COMPAT", "On")], Dialect::Trustline, Some(URL)),
        (
            score,
            &[("RISK_ENGINE_URL", URL), ("RISK_ENGINE_COMPAT", "off")],
            Dialect::Score,
            Some(URL),
        ),
        ("", &[("PROXY_LOCAL_RISK", "1"), ("RISK_ENGINE_COMPAT", "0")], Dialect::Local, None),
    ] {
        let engine = read(file, variables).unwrap();
        let found = (engine.dialect, engine.url.as_ref().map(|url| url.as_str()));
        assert_eq!(found, (dialect, url), "{file:?} {variables:?}");
    }
}

#[test]
fn what_contradicts_itself_is_refused_with_the_names() {
    let local = "[risk.engine]\ndialect = \"local\"\n";
    let score = "[risk.engine]\ndialect = \"score\"\n";
    for (file, variables, names) in [
        (
            "",
            &[("PROXY_LOCAL_RISK", "1"), ("RISK_ENGINE_URL", URL)][..],
            &["PROXY_LOCAL_RISK", "RISK_ENGINE_URL"][..],
        ),
        (score, &[("PROXY_LOCAL_RISK", "1")], &["PROXY_LOCAL_RISK", "risk.engine.dialect"]),
        (local, &[("RISK_ENGINE_URL", URL)], &["RISK_ENGINE_URL", "risk.engine.dialect"]),
        (
            "",
            &[("PROXY_LOCAL_RISK", "1"), ("QUITTANCE_RISK__ENGINE__DIALECT", "local")],
            &["PROXY_LOCAL_RISK", "QUITTANCE_RISK__ENGINE__DIALECT"],
        ),
        (
            "",
            &[("RISK_ENGINE_URL", URL), ("QUITTANCE_RISK__ENGINE__URL", URL)],
            &["RISK_ENGINE_URL", "QUITTANCE_RISK__ENGINE__URL"],
        ),
        (score, &[], &["risk.engine.url", "RISK_ENGINE_URL"]),
        ("", &[("RISK_INTERNAL_TOKEN", "t")], &["RISK_INTERNAL_TOKEN", "risk.engine.dialect"]),
        (
            "",
            &[("RISK_INTERNAL_TOKEN", "t"), ("RISK_INTERNAL_TOKEN_FILE", "/run/token")],
            &["RISK_INTERNAL_TOKEN", "RISK_INTERNAL_TOKEN_FILE"],
        ),
        ("", &[("RISK_ENGINE_URL", URL), ("RISK_INTERNAL_TOKEN", "a b")], &["RISK_INTERNAL_TOKEN"]),
        ("", &[("PROXY_LOCAL_RISK", "maybe")], &["PROXY_LOCAL_RISK"]),
        ("", &[("PROXY_LOCAL_RISK_TTL", "soon")], &["PROXY_LOCAL_RISK_TTL"]),
        ("", &[("PROXY_LOCAL_RISK_TTL", "0")], &["risk.engine.session_ttl_secs"]),
        ("", &[("RISK_ENGINE_COMPAT", "perhaps")], &["RISK_ENGINE_COMPAT"]),
        ("", &[("RISK_ENGINE_COMPAT", "1")], &["RISK_ENGINE_COMPAT", "RISK_ENGINE_URL"]),
        (
            score,
            &[("RISK_ENGINE_URL", URL), ("RISK_ENGINE_COMPAT", "tl")],
            &["RISK_ENGINE_COMPAT", "risk.engine.dialect"],
        ),
        (
            "",
            &[("PROXY_LOCAL_RISK", "1"), ("RISK_ENGINE_COMPAT", "trustline")],
            &["PROXY_LOCAL_RISK", "RISK_ENGINE_COMPAT"],
        ),
        ("", &[("RISK_ENGINE_URL", "ftp://risk")], &["RISK_ENGINE_URL"]),
        ("", &[("QUITTANCE_RISK__ENGINE__REVIEW_FROM", "0.95")], &["review_from", "deny_from"]),
        ("", &[("QUITTANCE_RISK__ENGINE__DENY_FROM", "1.5")], &["deny_from"]),
        ("", &[("QUITTANCE_RISK__ENGINE__RECEIPT_PATH", "receipts")], &["receipt_path"]),
        ("", &[("QUITTANCE_RISK__ENGINE__DENY_FROM", "NaN")], &["deny_from"]),
        ("", &[("QUITTANCE_RISK__ENGINE__URI", URL)], &["QUITTANCE_RISK__ENGINE__URI"]),
    ] {
        let refusal = read(file, variables).unwrap_err().to_string();
        for name in names {
            assert!(refusal.contains(name), "{name} in {refusal:?}");
        }
    }
}

#[test]
fn the_token_comes_from_a_variable_or_a_file_and_is_never_shown() {
    let remote = ("RISK_ENGINE_URL", URL);
    let engine = read("", &[remote, ("RISK_INTERNAL_TOKEN", "hunter2")]).unwrap();
    assert_eq!(engine.token.expose_secret(), "hunter2");
    assert!(!format!("{engine:?}").contains("hunter2"));
    let engine = read("", &[remote, ("RISK_INTERNAL_TOKEN_FILE", "/run/token")]).unwrap();
    assert_eq!(engine.token.expose_secret(), "from-a-file");
}

#[test]
fn scores_and_times_can_be_set_from_the_environment() {
    let engine = read(
        "",
        &[
            ("PROXY_LOCAL_RISK_TTL", "60"),
            ("QUITTANCE_RISK__ENGINE__DENY_FROM", "0.85"),
            ("QUITTANCE_RISK__ENGINE__MODELS", "m-1, m-2"),
        ],
    )
    .unwrap();
    assert_eq!((engine.session_ttl_secs, engine.deny_from), (60, 0.85));
    assert_eq!(engine.models, ["m-1", "m-2"]);
}
