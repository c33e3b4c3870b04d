//! The settings as they are shown, and nodes whose URLs come from files.

use std::io;
use std::path::Path;

use runtime::{Config, ConfigError};
use serde_json::{Value, json};

const NETWORK: &str = r#"
[[networks]]
chain_id = 84532
rpc_urls = ["https://rpc.example/v2/secret-in-path"]
"#;

const NODES_VARIABLE: &str = "QUITTANCE_NETWORKS__84532__RPC_URLS";

/// What each configuration here is read from: the file, and variables besides the two that are always needed.
fn read(
    file: &str,
    variables: &[(&str, &str)],
    files: &[(&str, &str)],
) -> Result<(Config, Value), ConfigError> {
    let needed = [
        ("DATABASE_URL", "postgres://app:secret-one@db/quittance"),
        ("REDIS_URL", "redis://:secret-two@cache:6379"),
    ];
    let variables = needed.iter().chain(variables);
    let environment: Vec<_> =
        variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::shown_from_sources(file, &environment, &|path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
    })
}

#[test]
fn everything_in_force_is_shown_but_no_secret() {
    let file = format!(
        "{NETWORK}
[risk.engine]
dialect = \"score\"
url = \"https://risk.example\"
token = \"secret-three\"
[[signers]]
chain_id = 84532
keystore_file = \"/etc/settler.json\"
password = \"secret-four\"
[[signers]]
chain_id = 84532
key = \"0x{:0>64}\"
[[signers]]
chain_id = 84532
kms_key_id = \"arn\"
kms_region = \"eu-central-1\"
kms_endpoint_url = \"https://user:secret-five@kms.example\"
",
        "5ec2e7"
    );
    let (_, shown) = read(&file, &[("QUITTANCE_SETTLEMENT__MAX_LANES", "8")], &[]).unwrap();
    assert_eq!(shown["settlement"]["max_lanes"], 8);
    assert_eq!(shown["risk"]["engine"]["token"], "(hidden)");
    assert_eq!(shown["risk"]["engine"]["url"], "https://risk.example");
    assert_eq!(shown["networks"][0]["rpc_urls"], json!(["rpc.example"]));
    assert_eq!(shown["networks"][0]["assets"][0]["symbol"], "USDC");
    assert_eq!(shown["signers"][0]["key"], "Keystore(..)");
    let text = shown.to_string();
    assert!(!text.contains("secret-") && !text.contains("5ec2e7"), "{text}");
}

#[test]
fn that_a_secret_is_not_set_is_shown() {
    let (_, shown) = read("", &[], &[]).unwrap();
    assert_eq!(shown["risk"]["engine"]["token"], "");
    assert_eq!(shown["database"]["url"], "(hidden)");
    assert_eq!(shown["signers"], json!([]));
}

#[test]
fn nodes_come_from_the_file_that_a_variable_names() {
    let by_file = format!("{NODES_VARIABLE}_FILE");
    for written in
        ["https://a.example/k\nhttps://b.example/k\n", "https://a.example/k, https://b.example/k"]
    {
        let (config, _) =
            read(NETWORK, &[(&by_file, "/run/nodes")], &[("/run/nodes", written)]).unwrap();
        let hosts: Vec<_> = config.networks[0].rpc_urls.iter().map(|url| url.host()).collect();
        assert_eq!(hosts, ["a.example", "b.example"]);
    }
    // As everywhere, an empty variable is none.
    let (config, _) = read(NETWORK, &[(&by_file, "")], &[]).unwrap();
    assert_eq!(config.networks[0].rpc_urls[0].host(), "rpc.example");
}

#[test]
fn a_file_of_nodes_that_cannot_be_used_is_refused() {
    let by_file = format!("{NODES_VARIABLE}_FILE");
    let refusal = |variables: &[(&str, &str)], files: &[(&str, &str)]| {
        read(NETWORK, variables, files).unwrap_err().to_string()
    };
    let absent = refusal(&[(&by_file, "/run/nodes")], &[]);
    assert!(absent.starts_with(&format!("{by_file}: cannot read /run/nodes")), "{absent}");
    let twice = refusal(
        &[(&by_file, "/run/nodes"), (NODES_VARIABLE, "https://a.example")],
        &[("/run/nodes", "https://b.example")],
    );
    assert_eq!(twice, format!("{NODES_VARIABLE}: is set together with {by_file}"));
    for content in ["", "secret-words"] {
        let malformed = refusal(&[(&by_file, "/run/nodes")], &[("/run/nodes", content)]);
        assert!(malformed.contains("must be an http, https, ws or wss URL"), "{malformed}");
        assert!(!malformed.contains("secret-words"), "{malformed}");
    }
    let unknown = "QUITTANCE_NETWORKS__1__RPC_URLS_FILE";
    let unknown = refusal(&[(unknown, "/run/nodes")], &[("/run/nodes", "https://b.example")]);
    assert!(unknown.ends_with("there is no such network in the file"), "{unknown}");
}
