//! The configuration as operators meet it: layers, refusals, secrets.
#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

use std::collections::HashMap;
use std::io;
use std::path::Path;

use runtime::config::KeySource;
use runtime::{Config, ConfigError};
use secrecy::ExposeSecret;

const KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const OTHER_KEY: &str = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";

const NETWORK: &str = r#"
[[networks]]
chain_id = 84532
rpc_urls = ["https://rpc.example/v2/api-key-in-path"]
[[networks.assets]]
address = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
name = "USDC"
version = "2"
decimals = 6
symbol = "USDC"
"#;

/// The sources of one configuration; what every process needs is there from the start.
struct Sources {
    file: String,
    environment: HashMap<String, String>,
    files: HashMap<String, String>,
}

impl Sources {
    fn new() -> Self {
        Self { file: String::new(), environment: HashMap::new(), files: HashMap::new() }
            .set("DATABASE_URL", "postgres://app:hunter2@db/quittance")
            .set("REDIS_URL", "redis://:hunter3@cache:6379")
    }

    fn file(mut self, text: &str) -> Self {
        self.file.push_str(text);
        self
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    fn secret_file(mut self, path: &str, content: &str) -> Self {
        self.files.insert(path.to_owned(), content.to_owned());
        self
    }

    fn read(self) -> Result<Config, ConfigError> {
        let environment: Vec<_> = self.environment.into_iter().collect();
        let files = self.files;
        Config::from_sources(&self.file, &environment, &|path: &Path| {
            let content = files.get(path.to_str().unwrap()).cloned();
            content.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        })
    }

    fn refusal(self) -> String {
        self.read().unwrap_err().to_string()
    }
}

#[test]
fn the_defaults_are_complete_and_raise_no_doubt_but_the_missing_network() {
    let config = Sources::new().read().unwrap();
    let warned: Vec<_> = config.warnings().into_iter().map(|issue| issue.setting).collect();
    assert_eq!(warned, ["networks"]);
    assert_eq!(config.ingress.listen.to_string(), "127.0.0.1:4020");
}

#[test]
fn the_file_goes_over_the_defaults_and_the_environment_over_the_file() {
    let config = Sources::new()
        .file("[settlement]\nmax_lanes = 8\nmax_batch = 100\n")
        .set("QUITTANCE_SETTLEMENT__MAX_LANES", "9")
        .read()
        .unwrap();
    let settlement = config.settlement;
    assert_eq!(
        (settlement.max_lanes, settlement.max_batch, settlement.max_in_flight),
        (9, 100, 16)
    );
}

#[test]
fn an_unknown_setting_in_the_file_is_refused_with_the_known_ones() {
    let refusal = Sources::new().file("[settlement]\nmax_lane = 8\n").refusal();
    assert!(
        refusal.starts_with("settlement.max_lane (in the configuration file): is not known"),
        "{refusal}"
    );
    assert!(refusal.contains("`max_lanes`"), "{refusal}");
}

#[test]
fn an_unknown_section_in_the_file_is_refused() {
    let refusal = Sources::new().file("[setlement]\nmax_lanes = 8\n").refusal();
    assert!(
        refusal.starts_with("setlement (in the configuration file): is not known"),
        "{refusal}"
    );
}

#[test]
fn every_stray_variable_is_named() {
    let refusal = Sources::new()
        .set("QUITTANCE_SETTLEMENT__MAX_LANE", "9")
        .set("QUITTANCE_SETTLEMENT_MAX_LANES", "9")
        .refusal();
    let lines: Vec<_> = refusal.lines().collect();
    assert_eq!(
        lines,
        [
            "QUITTANCE_SETTLEMENT_MAX_LANES: is not a setting of Quittance",
            "QUITTANCE_SETTLEMENT__MAX_LANE: is not a setting of Quittance",
        ]
    );
}

#[test]
fn what_the_local_stack_exports_is_passed_by() {
    let sources = runtime::config::PASSED_BY;
    let all = sources.iter().fold(Sources::new(), |sources, name| sources.set(name, "whatever"));
    assert!(all.read().is_ok());
}

#[test]
fn a_value_of_the_wrong_type_is_refused_with_its_origin() {
    let in_file = Sources::new().file("[results]\nmax_wait_secs = \"soon\"\n").refusal();
    assert_eq!(
        in_file,
        "results.max_wait_secs (in the configuration file): must be u64, not string"
    );
    let in_variable = Sources::new().set("QUITTANCE_RESULTS__MAX_WAIT_SECS", "soon").refusal();
    assert_eq!(in_variable, "QUITTANCE_RESULTS__MAX_WAIT_SECS: must be a whole number");
}

#[test]
fn a_malformed_value_from_a_variable_is_refused_with_its_origin() {
    let refusal = Sources::new().set("QUITTANCE_INGRESS__LISTEN", "everywhere").refusal();
    assert!(refusal.starts_with("ingress.listen (from QUITTANCE_INGRESS__LISTEN): "), "{refusal}");
}

#[test]
fn a_syntax_error_tells_the_place_and_quotes_nothing() {
    let refusal = Sources::new().file("[database]\nurl = \"postgres://app:hunter2@db\n").refusal();
    assert!(refusal.contains("line 2"), "{refusal}");
    assert!(!refusal.contains("hunter2"), "{refusal}");
}

#[test]
fn secrets_are_read_from_files_without_the_line_end() {
    let mut sources = Sources::new().set("DATABASE_URL_FILE", "/run/db");
    sources.environment.remove("DATABASE_URL");
    let config = sources.secret_file("/run/db", "postgresql://app@db/q\n").read().unwrap();
    assert_eq!(config.database.url.expose_secret(), "postgresql://app@db/q");
}

#[test]
fn a_secret_that_is_given_twice_is_refused() {
    let by_file = Sources::new().set("DATABASE_URL_FILE", "/run/db").refusal();
    assert_eq!(by_file, "DATABASE_URL: is set together with DATABASE_URL_FILE");
    let by_setting = Sources::new().set("QUITTANCE_REDIS__URL", "redis://other").refusal();
    assert_eq!(by_setting, "REDIS_URL: is set together with QUITTANCE_REDIS__URL");
}

#[test]
fn an_unreadable_secret_file_is_named() {
    let mut sources = Sources::new().set("DATABASE_URL_FILE", "/run/absent");
    sources.environment.remove("DATABASE_URL");
    assert!(sources.refusal().starts_with("DATABASE_URL_FILE: cannot read /run/absent"));
}

#[test]
fn a_missing_database_is_explained() {
    let mut sources = Sources::new();
    sources.environment.remove("DATABASE_URL");
    assert_eq!(
        sources.refusal(),
        "database.url: is not set: set DATABASE_URL or DATABASE_URL_FILE"
    );
}

#[test]
fn no_secret_is_shown_by_debug() {
    let config = Sources::new()
        .file(NETWORK)
        .set("QUITTANCE_SIGNER_KEYS", &format!("eip155:84532={KEY}"))
        .read()
        .unwrap();
    let shown = format!("{config:?}");
    for secret in ["hunter2", "hunter3", &KEY[2..], "api-key-in-path"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn a_network_needs_little_and_has_sensible_defaults() {
    let config = Sources::new().file(NETWORK).read().unwrap();
    let network = config.network(84_532).unwrap();
    assert_eq!(network.caip2(), "eip155:84532");
    assert_eq!((network.confirmations, network.block_time_ms), (1, 2_000));
    assert_eq!(network.multicall.as_str(), "0xcA11bde05977b3631167028862bE2a173976CA11");
}

/// A network of which nothing is said but where its nodes are.
fn bare(chain_id: u64) -> String {
    format!("[[networks]]\nchain_id = {chain_id}\nrpc_urls = [\"https://rpc.example\"]\n")
}

const OTHER_TOKEN: &str = r#"
[[networks.assets]]
address = "0x1111111111111111111111111111111111111111"
name = "Other"
version = "1"
decimals = 18
symbol = "OTHER"
"#;

#[test]
fn a_built_in_network_needs_nothing_but_its_nodes() {
    let config = Sources::new().file(&bare(8_453)).file(&bare(143)).read().unwrap();
    let base = config.network(8_453).unwrap();
    let tokens: Vec<_> = base.assets.iter().map(|asset| asset.name.as_str()).collect();
    assert_eq!((base.confirmations, base.block_time_ms, tokens), (1, 2_000, vec!["USD Coin"]));
    let monad = config.network(143).unwrap();
    assert_eq!((monad.confirmations, monad.block_time_ms), (3, 400));
    // Gas on Monad costs at least 100 gwei: with the general default nothing would ever be sent.
    assert_eq!((base.max_fee_per_gas_gwei, monad.max_fee_per_gas_gwei), (100, 400));
}

#[test]
fn what_is_said_of_a_built_in_network_replaces_what_is_known_of_it() {
    let said = format!("{}confirmations = 5\n{OTHER_TOKEN}", bare(143));
    let sources = Sources::new().file(&said).set("QUITTANCE_NETWORKS__143__BLOCK_TIME_MS", "500");
    let config = sources.read().unwrap();
    let monad = config.network(143).unwrap();
    assert_eq!((monad.confirmations, monad.block_time_ms), (5, 500));
    let tokens: Vec<_> = monad.assets.iter().map(|asset| asset.symbol.as_str()).collect();
    assert_eq!(tokens, ["OTHER"]);
}

#[test]
fn a_network_without_a_token_is_refused_and_what_to_write_is_said() {
    // The reference has no token of Ethereum Sepolia either, though its blocks are known.
    for unknown in [31_337, 11_155_111] {
        let refusal = Sources::new().file(&bare(unknown)).refusal();
        let expected = format!(
            "network eip155:{unknown}: assets: no token of this network is built in: list one or more as \
             [[networks.assets]], each with address, name and version (of its EIP-712 domain), decimals and symbol"
        );
        assert_eq!(refusal, expected);
    }
    let refusal = Sources::new().file(&bare(8_453)).file("assets = []\n").refusal();
    assert_eq!(
        refusal,
        "network eip155:8453: assets: is empty: list the tokens to settle in, or leave it out for the built-in ones"
    );
}

#[test]
fn any_other_network_can_be_described() {
    let described = format!("{}name = \"local\"\n{OTHER_TOKEN}", bare(31_337));
    let config = Sources::new().file(&described).read().unwrap();
    let local = config.network(31_337).unwrap();
    assert_eq!((local.name.as_deref(), local.assets.len()), (Some("local"), 1));
}

#[test]
fn the_nodes_of_a_network_can_come_from_the_environment() {
    let config = Sources::new()
        .file(NETWORK)
        .set("QUITTANCE_NETWORKS__84532__RPC_URLS", "https://a.example/k, wss://b.example:8546")
        .set("QUITTANCE_NETWORKS__84532__CONFIRMATIONS", "3")
        .read()
        .unwrap();
    let network = config.network(84_532).unwrap();
    let hosts: Vec<_> = network.rpc_urls.iter().map(runtime::config::RpcUrl::host).collect();
    assert_eq!((hosts.join(" ").as_str(), network.confirmations), ("a.example b.example:8546", 3));
}

#[test]
fn a_network_that_is_not_in_the_file_cannot_be_set_from_the_environment() {
    let refusal =
        Sources::new().set("QUITTANCE_NETWORKS__1__RPC_URLS", "https://a.example").refusal();
    assert_eq!(refusal, "QUITTANCE_NETWORKS__1__RPC_URLS: there is no such network in the file");
}

#[test]
fn an_address_that_is_none_is_refused_without_repeating_it() {
    let refusal = Sources::new().file(&NETWORK.replace("0x036CbD", "036CbD")).refusal();
    assert_eq!(
        refusal,
        "networks[0].assets[0].address (in the configuration file): must be an address: 0x and 40 hexadecimal digits"
    );
}

#[test]
fn a_network_that_is_given_twice_is_refused() {
    let refusal = Sources::new().file(NETWORK).file(NETWORK).refusal();
    assert_eq!(refusal, "networks: two entries have the chain_id 84532");
}

fn raw_keys(config: &Config) -> Vec<&str> {
    let keys = config.signers.iter().map(|signer| match &signer.key {
        KeySource::Raw(key) => key.expose_secret(),
        other => panic!("a raw key was expected: {other:?}"),
    });
    keys.collect()
}

/// A configuration with this in its `[[signers]]`.
fn with_signer(settings: &str) -> Sources {
    Sources::new().file(NETWORK).file(&format!("[[signers]]\nchain_id = 84532\n{settings}\n"))
}

#[test]
fn a_key_file_is_opened_with_a_password_from_one_of_three_places() {
    let keystore = "keystore_file = \"/run/key.json\"";
    let own = |password: &str| with_signer(&format!("{keystore}\n{password}"));
    for sources in [
        own("password = \"hunter4\""),
        own("password_file = \"/run/password\"").secret_file("/run/password", "hunter4\n"),
        own("").set("QUITTANCE_SIGNER_PASSWORD", "hunter4"),
        own("")
            .set("QUITTANCE_SIGNER_PASSWORD_FILE", "/run/password")
            .secret_file("/run/password", "hunter4\n"),
        // A signer's own password comes first.
        own("password = \"hunter4\"").set("QUITTANCE_SIGNER_PASSWORD", "hunter5"),
    ] {
        let config = sources.read().unwrap();
        assert!(!format!("{config:?}").contains("hunter4"));
        match &config.signers[0].key {
            KeySource::Keystore { file, password } => {
                assert_eq!(file, Path::new("/run/key.json"));
                assert_eq!(password.expose_secret(), "hunter4");
            }
            other => panic!("a key file was expected: {other:?}"),
        }
    }
}

#[test]
fn a_key_in_kms_is_named_by_id_and_region_and_its_endpoint_is_never_shown() {
    let config = with_signer(
        "kms_key_id = \"alias/settler\"\nkms_region = \"eu-central-1\"
         kms_endpoint_url = \"https://user:hunter4@kms.example\"",
    );
    let config = config.read().unwrap();
    assert!(!format!("{config:?}").contains("hunter4"));
    assert!(matches!(
        &config.signers[0].key,
        KeySource::Kms { key_id, region, endpoint_url: Some(_) }
            if key_id == "alias/settler" && region == "eu-central-1"
    ));
}

#[test]
fn a_signer_whose_key_is_nowhere_or_in_two_places_is_refused() {
    for (settings, problem) in [
        ("", "needs exactly one of"),
        ("key_file = \"/k\"\nkeystore_file = \"/k\"", "needs exactly one of"),
        ("kms_key_id = \"k\"\nkey = \"hunter4\"", "needs exactly one of"),
        ("keystore_file = \"/k\"", "needs password_file, or QUITTANCE_SIGNER_PASSWORD_FILE"),
        ("keystore_file = \"/k\"\npassword = \"hunter4\"\npassword_file = \"/p\"", "both"),
        ("key = \"hunter4\"\npassword = \"hunter4\"", "a password belongs to a keystore_file"),
        ("key = \"hunter4\"\nkms_region = \"r\"", "belong to a kms_key_id"),
        ("kms_key_id = \"k\"", "kms_key_id and kms_region must both be set"),
        ("kms_key_id = \"\"\nkms_region = \"r\"", "kms_key_id and kms_region must both be set"),
        ("keystore_file = \"/k\"\npassword_file = \"/none\"", "signers[0].password_file: cannot"),
    ] {
        let refusal = with_signer(settings).refusal();
        assert!(refusal.starts_with("signers[0]"), "{settings}: {refusal}");
        assert!(refusal.contains(problem), "{settings}: {refusal}");
        assert!(!refusal.contains("hunter"), "{settings}: {refusal}");
    }
}

#[test]
fn the_same_key_file_or_kms_key_twice_is_refused() {
    for settings in
        ["keystore_file = \"/k\"\npassword = \"hunter4\"", "kms_key_id = \"k\"\nkms_region = \"r\""]
    {
        let twice = with_signer(&format!("{settings}\n[[signers]]\nchain_id = 84532\n{settings}"));
        assert!(twice.refusal().contains("given twice"));
    }
}

#[test]
fn signers_come_from_one_variable() {
    let list = format!("eip155:84532={KEY},\n {}", &OTHER_KEY[2..]);
    let config = Sources::new().file(NETWORK).set("QUITTANCE_SIGNER_KEYS", &list).read().unwrap();
    assert_eq!(raw_keys(&config), [KEY, OTHER_KEY]);
}

#[test]
fn signers_come_from_files() {
    let config = Sources::new()
        .file(NETWORK)
        .file("[[signers]]\nchain_id = 84532\nkey_file = \"/run/key\"\n")
        .secret_file("/run/key", &format!("{KEY}\n"))
        .read()
        .unwrap();
    assert_eq!(raw_keys(&config), [KEY]);
}

#[test]
fn signers_come_from_the_file_that_a_variable_names() {
    let config = Sources::new()
        .file(NETWORK)
        .set("QUITTANCE_SIGNER_KEYS_FILE", "/run/keys")
        .secret_file("/run/keys", &format!("eip155:84532={KEY}\neip155:84532={OTHER_KEY}\n"))
        .read()
        .unwrap();
    assert_eq!(raw_keys(&config), [KEY, OTHER_KEY]);
}

#[test]
fn a_malformed_key_is_refused_without_repeating_it() {
    let list = format!("eip155:84532={KEY},{}", &OTHER_KEY[..60]);
    let refusal = Sources::new().file(NETWORK).set("QUITTANCE_SIGNER_KEYS", &list).refusal();
    assert!(refusal.starts_with("QUITTANCE_SIGNER_KEYS, entry 2: the key must be"), "{refusal}");
    assert!(!refusal.contains(&OTHER_KEY[2..20]), "{refusal}");
}

#[test]
fn a_key_for_an_unknown_network_is_refused() {
    let list = format!("eip155:1={KEY}");
    let refusal = Sources::new().file(NETWORK).set("QUITTANCE_SIGNER_KEYS", &list).refusal();
    assert_eq!(refusal, "signers: there is a key for eip155:1, which is not configured");
}

#[test]
fn the_same_key_twice_is_refused() {
    let list = format!("eip155:84532={KEY},{KEY}");
    let refusal = Sources::new().file(NETWORK).set("QUITTANCE_SIGNER_KEYS", &list).refusal();
    assert!(refusal.contains("given twice"), "{refusal}");
}

#[test]
fn keys_in_the_file_and_in_the_environment_contradict_each_other() {
    let refusal = Sources::new()
        .file(NETWORK)
        .file("[[signers]]\nchain_id = 84532\nkey_file = \"/run/key\"\n")
        .set("QUITTANCE_SIGNER_KEYS", &format!("eip155:84532={KEY}"))
        .refusal();
    assert_eq!(refusal, "QUITTANCE_SIGNER_KEYS: is set together with [[signers]]");
}

#[test]
fn all_zeros_are_reported_at_once() {
    let refusal = Sources::new().file("[settlement]\nmax_lanes = 0\nmax_batch = 0\n").refusal();
    assert_eq!(
        refusal,
        "settlement.max_batch: must be at least 1\nsettlement.max_lanes: must be at least 1"
    );
}

#[test]
fn payees_and_tokens_are_listed_with_their_network_or_without() {
    let (base, token) = ("eip155:84532", "0x036CbD53842c5426634e7929541eC2318f3dCF7e");
    let list = format!("{base}:{token}, {}", token.to_lowercase());
    let config = Sources::new()
        .file(NETWORK)
        .set("QUITTANCE_FACILITATOR__PAYEES", &list)
        .set("QUITTANCE_FACILITATOR__ASSETS", &list)
        .set("QUITTANCE_FACILITATOR__OPEN_LIMITS__PAYEE_BURST", "7")
        .read()
        .unwrap();
    let listed = &config.facilitator.payees;
    let address = &config.network(84_532).unwrap().assets[0].address;
    assert!(listed.iter().all(|listed| listed.covers(84_532, address)));
    assert_eq!(listed.iter().filter(|listed| listed.covers(1, address)).count(), 1);
    assert_eq!(&config.facilitator.assets, listed);
    assert_eq!(config.facilitator.open_limits.payee_burst, 7);
    for malformed in ["0x1", "eip155:84532", "eip155:x:0x036CbD53842c5426634e7929541eC2318f3dCF7e"]
    {
        let refusal = Sources::new().set("QUITTANCE_FACILITATOR__PAYEES", malformed).refusal();
        assert!(refusal.contains("(from QUITTANCE_FACILITATOR__PAYEES): must be 0x"), "{refusal}");
    }
}

#[test]
fn what_is_listed_and_not_configured_is_refused() {
    let zero = "0x0000000000000000000000000000000000000000";
    let lists = format!("[facilitator]\npayees = ['eip155:1:{zero}']\nassets = ['{zero}']\n");
    let refusal = Sources::new().file(&lists).file(NETWORK).refusal();
    assert_eq!(
        refusal,
        format!(
            "facilitator.payees: name a payee on eip155:1, which is not configured\n\
             facilitator.assets: name {zero}, which is no asset of a configured network"
        )
    );
    let refusal = Sources::new().file("[facilitator.open_limits]\npayee_burst = 0\n").refusal();
    assert_eq!(refusal, "facilitator.open_limits.payee_burst: must be at least 1");
}

#[test]
fn a_window_in_which_nothing_fits_is_refused() {
    let refusal = Sources::new().file("[ingress]\nmin_validity_secs = 3600\n").refusal();
    assert!(refusal.starts_with("ingress.min_validity_secs: must be less than"), "{refusal}");
}

#[test]
fn doubtful_settings_are_warned_of() {
    let config = Sources::new()
        .file(NETWORK)
        .file("[settlement]\nmin_remaining_secs = 6\n[notifier]\nallow_private_targets = true\n")
        .set("QUITTANCE_RESULTS__LISTEN", "127.0.0.1:4020")
        .read()
        .unwrap();
    let warned: Vec<_> = config.warnings().into_iter().map(|issue| issue.setting).collect();
    assert_eq!(
        warned,
        ["settlement.min_remaining_secs", "notifier.allow_private_targets", "listen"]
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let refusal = Config::load(Some(Path::new("/nowhere/quittance.toml"))).unwrap_err();
    assert!(
        refusal.to_string().starts_with("--config: cannot read /nowhere/quittance.toml"),
        "{refusal}"
    );
}

#[cfg(not(feature = "fail-points"))]
#[test]
fn a_build_without_fail_points_refuses_to_arm_one() {
    let refusal = Sources::new().set("QUITTANCE_FAIL_POINT", "after_store=kill").refusal();
    assert_eq!(refusal, "QUITTANCE_FAIL_POINT: is not a setting of Quittance");
}

#[cfg(feature = "fail-points")]
#[test]
fn a_build_with_fail_points_arms_one_and_refuses_what_is_none() {
    let armed = Sources::new().set("QUITTANCE_FAIL_POINT", "after_store=kill@2").read().unwrap();
    assert_eq!(armed.fail_point, "after_store=kill@2".parse().ok());
    let refusal = Sources::new().set("QUITTANCE_FAIL_POINT", "after_lunch=kill").refusal();
    assert_eq!(refusal, "QUITTANCE_FAIL_POINT: names no fail point");
}

#[test]
fn gas_is_sponsored_token_by_token_and_only_for_permit2() {
    use runtime::config::GasSponsoring;
    let sponsored = |methods: &str| {
        let lines = format!("transfer_methods = {methods}\ngas_sponsoring = [\"eip2612\"]\n");
        Sources::new().file(NETWORK).file(&lines)
    };
    let of = |sources: Sources| {
        sources.read().unwrap().network(84_532).unwrap().assets[0].gas_sponsoring.clone()
    };
    assert_eq!(of(Sources::new().file(NETWORK)), []);
    assert_eq!(of(sponsored(r#"["eip3009", "permit2"]"#)), [GasSponsoring::Eip2612]);
    assert_eq!(
        sponsored(r#"["eip3009"]"#).refusal(),
        "network eip155:84532: asset 0x036CbD53842c5426634e7929541eC2318f3dCF7e: has gas_sponsoring, which \
         is for Permit2, and no permit2 among its transfer_methods"
    );
}
