//! `quittance signer`, as operators use it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use domain::{Address, U256};
use serde_json::Value;
use testkit::{Anvil, Database};

const PASSWORD: &str = "correct horse battery staple";

struct Operator {
    database: Database,
    anvil: Anvil,
    folder: tempfile::TempDir,
}

impl Operator {
    async fn arrive() -> Self {
        let (database, anvil) = tokio::join!(Database::create(), Anvil::builder().start());
        let folder = tempfile::TempDir::new().unwrap();
        std::fs::write(folder.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        let operator = Self { database, anvil, folder };
        operator.configure("");
        operator
    }

    /// Writes the settings: one network, and these signers.
    fn configure(&self, signers: &str) {
        let config = format!(
            r#"
            {network}
            {signers}
            "#,
            network = Anvil::settings(&self.anvil.url(), ""),
        );
        std::fs::write(self.path("quittance.toml"), config).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_quittance"))
            .args(arguments)
            .env_clear()
            .env("QUITTANCE_CONFIG", self.path("quittance.toml"))
            .env("DATABASE_URL", &self.database.url)
            .env("REDIS_URL", "redis://127.0.0.1:1")
            .output()
            .unwrap()
    }

    /// The JSON lines of a command that must succeed.
    fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn line(&self, arguments: &[&str]) -> Value {
        self.lines(arguments).pop().unwrap()
    }

    /// What a command that must fail says.
    fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}: {}", text(&output.stdout));
        text(&output.stderr)
    }

    fn new_keystore<'a>(&self, file: &'a str, password: &'a str) -> [&'a str; 8] {
        let network = ["signer", "add", "--network", "eip155:84532"];
        let [signer, add, flag, chain] = network;
        [signer, add, flag, chain, "--new-keystore", file, "--password-file", password]
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const ADDRESS: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

#[tokio::test]
async fn a_signer_is_added_paused_and_resumed_and_its_journal_says_so() {
    let operator = Operator::arrive().await;
    let balance = U256::from(12_345_678_901_234_567_890_u64);
    operator.anvil.set_balance(ADDRESS.parse::<Address>().unwrap(), balance).await;
    let add = ["signer", "add", "--network", "eip155:84532", "--address", ADDRESS];
    let added = operator.line(&add);
    assert_eq!(added["new"], true);
    assert_eq!(added["address"], ADDRESS.to_lowercase());
    let again = operator.line(&add);
    assert_eq!((&again["new"], &again["id"]), (&false.into(), &added["id"]));

    let paused = operator.line(&["signer", "pause", ADDRESS, "--reason", "key rotation"]);
    assert_eq!(paused["changed"], true);
    let listed = operator.line(&["signer", "list"]);
    assert_eq!(listed["paused_reason"], "key rotation");
    assert_eq!((&listed["in_flight"], &listed["next_nonce"]), (&0.into(), &0.into()));
    assert_eq!(listed["gas_balance_wei"], balance.to_string());
    let table = operator.run(&["signer", "list", "--table"]);
    assert!(text(&table.stdout).contains("key rotation"));
    let id = added["id"].as_str().unwrap();
    assert_eq!(operator.line(&["signer", "resume", id])["changed"], true);
    assert_eq!(operator.line(&["signer", "resume", id])["changed"], false);

    let events = operator.lines(&["signer", "events", id]);
    let types: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["registered", "paused", "resumed"]);
}

#[tokio::test]
async fn a_signer_that_nobody_knows_or_that_is_not_told_apart_is_an_error() {
    let operator = Operator::arrive().await;
    for command in
        [&["signer", "pause", ADDRESS, "--reason", "x"][..], &["signer", "resume", ADDRESS]]
    {
        assert!(operator.refusal(command).contains("knows no signer"), "{command:?}");
    }
    for network in ["eip155:84532", "eip155:8453"] {
        operator.line(&["signer", "add", "--network", network, "--address", ADDRESS]);
    }
    assert!(operator.refusal(&["signer", "resume", ADDRESS]).contains("--network"));
    let one = ["signer", "pause", ADDRESS, "--reason", "x", "--network", "eip155:8453"];
    assert_eq!(operator.line(&one)["network"], "eip155:8453");
    let listed = operator.lines(&["signer", "list"]);
    let unknown = listed.iter().find(|line| line["network"] == "eip155:8453").unwrap();
    assert!(unknown["gas_balance_wei"].is_null());
    assert_eq!(unknown["gas_balance_error"], "the network is not configured");
    assert!(operator.refusal(&["signer", "pause", ADDRESS, "--reason", " "]).contains("reason"));
}

#[tokio::test]
async fn a_new_key_is_kept_encrypted_for_its_owner_alone_and_signs_when_it_is_configured() {
    let operator = Operator::arrive().await;
    let (file, password) = (operator.path("settler.json"), operator.path("password"));
    let added = operator.line(&operator.new_keystore(&file, &password));
    let kept = std::fs::read_to_string(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(operator.line(&["signer", "list"])["address"], added["address"]);

    let configured = format!(
        "[[signers]]\nchain_id = 84532\nkeystore_file = \"{file}\"\npassword_file = \"{password}\""
    );
    operator.configure(&configured);
    assert_eq!(operator.line(&["signer", "addresses"])["address"], added["address"]);

    let refusal = operator.refusal(&operator.new_keystore(&file, &password));
    assert!(refusal.contains("there is a file of this name already"), "{refusal}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), kept);
    assert_eq!(operator.lines(&["signer", "list"]).len(), 1);
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_named_by_its_setting_and_tells_no_secret() {
    let operator = Operator::arrive().await;
    let (file, password) = (operator.path("settler.json"), operator.path("password"));
    operator.line(&operator.new_keystore(&file, &password));
    let signer = |settings: &str| format!("[[signers]]\nchain_id = 84532\n{settings}");
    let keystore = format!("keystore_file = \"{file}\"");
    for (settings, problem) in [
        (signer(&format!("{keystore}\npassword = \"hunter2hunter2\"")), "the password is wrong"),
        (
            signer("keystore_file = \"/nowhere/key.json\"\npassword = \"hunter2\""),
            "keystore_file /nowhere/key.json",
        ),
        (signer("kms_key_id = \"alias/x\"\nkms_region = \"eu-central-1\""), "kms_key_id alias/x"),
    ] {
        operator.configure(&settings);
        let refusal = operator.refusal(&["signer", "addresses"]);
        assert!(refusal.starts_with("quittance: signers[0]: "), "{refusal}");
        assert!(refusal.contains(problem), "{refusal}");
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }
    assert!(Path::new(&file).exists());
}
