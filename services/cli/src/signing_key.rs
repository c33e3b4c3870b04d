//! `quittance signing-key list|rotate`

use std::process::ExitCode;

use domain::Timestamp;
use receipt::SigningKey;
use runtime::{Clock, Config};
use serde_json::{Value, json};
use store::SigningKeyRow;

use crate::args::SigningKeyCommand;
use crate::failure::{Failure, print};
use crate::serve::open_store;

pub(crate) async fn run(config: &Config, command: SigningKeyCommand) -> Result<ExitCode, Failure> {
    let store = open_store(config)?;
    let now = Timestamp::from_unix_ms(Clock::system().now_unix_ms());
    match command {
        SigningKeyCommand::List => {
            let keys = store.signing_keys().await?;
            let signing = SigningKeyRow::signing(&keys, now);
            for key in &keys {
                print(line(key, status(key, signing, now)))?;
            }
        }
        SigningKeyCommand::Rotate => {
            let (id, seed) = (runtime::new_uuid(), runtime::random_bytes());
            print(line(&store.add_signing_key(id, seed, now).await?, "waiting"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a key does now.
fn status(key: &SigningKeyRow, signing: Option<&SigningKeyRow>, now: Timestamp) -> &'static str {
    if signing == Some(key) {
        "signs"
    } else if key.active_from > now {
        "waiting"
    } else {
        "verifies"
    }
}

fn line(key: &SigningKeyRow, status: &str) -> Value {
    json!({
        "kid": SigningKey::from_seed(&key.seed).public().id(),
        "status": status,
        "created_at": key.created_at,
        "active_from": key.active_from,
    })
}
