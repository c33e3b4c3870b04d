use serde_json::{Value, json};

use super::*;

const PASSWORD: &str = "correct horse battery staple";

fn made(folder: &Path) -> PathBuf {
    let path = folder.join("key.json");
    create(&path, &SecretString::from(PASSWORD)).unwrap();
    path
}

fn changed(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    change(&mut file);
    std::fs::write(path, file.to_string()).unwrap();
}

#[test]
fn a_new_key_comes_back_with_its_password_alone_and_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.json");
    let key = create(&path, &SecretString::from(PASSWORD)).unwrap();

    assert_eq!(open(&path, &SecretString::from(PASSWORD)).unwrap().address(), key.address());
    let wrong = open(&path, &SecretString::from("correct horse battery stapler")).unwrap_err();
    assert!(matches!(wrong, KeystoreError::WrongPassword), "{wrong:?}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something was left behind");
}

#[test]
fn no_file_is_ever_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = made(folder.path());
    let before = std::fs::read(&path).unwrap();
    let refused = create(&path, &SecretString::from(PASSWORD)).unwrap_err();
    assert!(matches!(refused, KeystoreError::Exists), "{refused:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_new_file_needs_a_password_that_is_worth_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.json");
    let refused = create(&path, &SecretString::from("short")).unwrap_err();
    assert!(matches!(refused, KeystoreError::WeakPassword), "{refused:?}");
    assert!(!path.exists());
}

#[test]
fn files_that_are_damaged_or_hostile_are_refused_before_anything_is_derived() {
    type Change = fn(&mut Value);
    let scrypt = |key: &'static str, value: u64| {
        move |file: &mut Value| file["crypto"]["kdfparams"][key] = json!(value)
    };
    let malformed: [Change; 8] = [
        |file| file["version"] = json!(1),
        |file| file["crypto"]["cipher"] = json!("aes-256-gcm"),
        |file| file["crypto"]["cipherparams"]["iv"] = json!("00"),
        |file| file["crypto"]["ciphertext"] = json!("00"),
        |file| file["crypto"]["kdf"] = json!("pbkdf2"),
        |file| file["crypto"]["kdfparams"]["dklen"] = json!(16),
        |file| file["crypto"]["kdfparams"]["n"] = json!(8193),
        |file| *file = json!([1, 2, 3]),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = made(folder.path());
    let honest = std::fs::read(&path).unwrap();
    for (number, change) in malformed.into_iter().enumerate() {
        std::fs::write(&path, &honest).unwrap();
        changed(&path, change);
        let refused = open(&path, &SecretString::from(PASSWORD)).unwrap_err();
        assert!(matches!(refused, KeystoreError::Malformed), "{number}: {refused:?}");
    }
    for (key, value) in [("n", 1 << 31), ("n", 1 << 19), ("r", 1 << 30), ("p", 1 << 20)] {
        std::fs::write(&path, &honest).unwrap();
        changed(&path, scrypt(key, value));
        let refused = open(&path, &SecretString::from(PASSWORD)).unwrap_err();
        assert!(matches!(refused, KeystoreError::Costly), "{key} {value}: {refused:?}");
    }
}

#[test]
fn a_file_whose_bytes_were_changed_is_not_taken_for_another_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = made(folder.path());
    changed(&path, |file| file["crypto"]["ciphertext"] = json!("00".repeat(32)));
    let refused = open(&path, &SecretString::from(PASSWORD)).unwrap_err();
    assert!(matches!(refused, KeystoreError::WrongPassword), "{refused:?}");
}

#[test]
fn what_is_no_key_file_at_all_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.json");
    let password = SecretString::from(PASSWORD);
    assert!(matches!(open(&path, &password), Err(KeystoreError::Io(_))));
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(open(&path, &password), Err(KeystoreError::Malformed)));
    std::fs::write(&path, "").unwrap();
    assert!(matches!(open(&path, &password), Err(KeystoreError::Malformed)));
    std::fs::write(&path, vec![b' '; 65 * 1024]).unwrap();
    assert!(matches!(open(&path, &password), Err(KeystoreError::TooLong)));
}

#[test]
fn a_file_that_other_wallets_wrote_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.json");
    // The test vector of the Web3 secret storage definition.
    let file = json!({
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": { "iv": "6087dab2f9fdbbfaddc31a909735c1e6" },
            "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
            "kdf": "pbkdf2",
            "kdfparams": {
                "c": 262_144,
                "dklen": 32,
                "prf": "hmac-sha256",
                "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"
            },
            "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"
        },
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
        "version": 3
    });
    std::fs::write(&path, file.to_string()).unwrap();
    let key = open(&path, &SecretString::from("testpassword")).unwrap();
    let address = "0x008AeEda4D805471dF9b2A5B0f38A0C3bCBA786b";
    assert_eq!(key.address().to_string(), address);
}
