//! The settings in force as they may be shown: whole, but for what is secret.

use serde_json::{Value, json};
use toml::Table;

use super::signer::SignerConfig;
use super::value::RpcUrl;

/// What stands in the place of a secret that is set.
const HIDDEN: &str = "(hidden)";

/// The keys of secrets, wherever they stand; and what the keys of others end in.
const SECRET_KEYS: [&str; 5] = ["token", "secret", "password", "key", "keys"];

/// Sections whose `url` holds a password.
const SECRET_URLS: [&str; 2] = ["database", "redis"];

/// The merged settings without secrets. Signers are shown as they were found, whatever named them.
pub(super) fn without_secrets(merged: &Table, signers: &[SignerConfig]) -> Value {
    let mut shown = json!(merged);
    let Some(sections) = shown.as_object_mut() else { return shown };
    for section in SECRET_URLS {
        if let Some(url) = sections.get_mut(section).and_then(|section| section.get_mut("url")) {
            hide(url);
        }
    }
    sections.remove("signers");
    sections.values_mut().for_each(hide_within);
    let signers = signers.iter().map(|signer| {
        json!({
            "chain_id": signer.chain_id,
            "setting": signer.setting,
            "key": format!("{:?}", signer.key),
        })
    });
    sections.insert("signers".to_owned(), signers.collect());
    shown
}

fn hide_within(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                if key == "rpc_urls" {
                    member.as_array_mut().into_iter().flatten().for_each(shorten);
                } else if is_secret(key) {
                    hide(member);
                } else {
                    hide_within(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_within),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_secret(key: &str) -> bool {
    SECRET_KEYS.iter().any(|secret| {
        key.strip_suffix(secret).is_some_and(|before| before.is_empty() || before.ends_with('_'))
    })
}

/// That nothing is set is no secret.
fn hide(value: &mut Value) {
    let unset = value.as_str().is_some_and(str::is_empty);
    if !unset {
        *value = HIDDEN.into();
    }
}

/// Leaves what tells a node from the others.
fn shorten(url: &mut Value) {
    let host = url.as_str().and_then(|text| RpcUrl::parse(text).ok()).map(|url| url.host());
    *url = host.map_or_else(|| HIDDEN.into(), Value::String);
}
