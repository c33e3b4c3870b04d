//! `quittance key create|list|revoke`

use std::process::ExitCode;

use access::ApiToken;
use domain::{AccountId, ApiKeyId, Scope, Timestamp};
use runtime::{Clock, Config};
use serde_json::json;
use store::{NewApiKey, Store};

use crate::args::KeyCommand;
use crate::failure::{Failure, print};
use crate::serve::open_store;

/// What a key may do when nothing is said: everything a seller needs, nothing an operator does.
const SELLER: [Scope; 4] =
    [Scope::PaymentsWrite, Scope::PaymentsRead, Scope::Webhooks, Scope::Risk];

pub(crate) async fn run(config: &Config, command: KeyCommand) -> Result<ExitCode, Failure> {
    let store = open_store(config)?;
    let now = Timestamp::from_unix_ms(Clock::system().now_unix_ms());
    match command {
        KeyCommand::Create { account, name, scopes } => {
            let scopes = if scopes.is_empty() { SELLER.to_vec() } else { scopes };
            create(&store, account, &name, scopes, now).await
        }
        KeyCommand::List => list(&store).await,
        KeyCommand::Revoke { id } => revoke(&store, id, now).await,
    }
}

async fn create(
    store: &Store,
    account: Option<AccountId>,
    name: &str,
    scopes: Vec<Scope>,
    now: Timestamp,
) -> Result<ExitCode, Failure> {
    let account = match account {
        Some(account) if store.has_account(account).await? => account,
        Some(account) => return Err(Failure::Said(format!("there is no account {account}"))),
        None => {
            let account = AccountId::new(runtime::new_uuid());
            store.create_account(account, name, now).await?;
            account
        }
    };
    let token = ApiToken::generate();
    let key = NewApiKey {
        id: ApiKeyId::new(runtime::new_uuid()),
        account,
        token_sha256: token.sha256(),
        last_four: token.last_four().to_owned(),
        scopes,
    };
    store.create_api_key(&key, now).await?;
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    print(json!({ "account": account, "id": key.id, "key": token.reveal(), "scopes": scopes }))?;
    Ok(ExitCode::SUCCESS)
}

async fn list(store: &Store) -> Result<ExitCode, Failure> {
    for key in store.list_api_keys().await? {
        let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        print(json!({
            "id": key.id,
            "account": key.account,
            "account_name": key.account_name,
            "ends_in": key.last_four,
            "scopes": scopes,
            "created_at": key.created_at,
            "revoked_at": key.revoked_at,
        }))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn revoke(store: &Store, id: ApiKeyId, now: Timestamp) -> Result<ExitCode, Failure> {
    if store.revoke_api_key(id, now).await? {
        print(format_args!("{id} is revoked; every process refuses it within 5 s"))?;
        Ok(ExitCode::SUCCESS)
    } else {
        Err(Failure::Said(format!("there is no key {id} that is still good")))
    }
}
