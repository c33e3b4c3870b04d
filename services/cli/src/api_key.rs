//! `quittance key create|rotate|limit|list|revoke`

use std::process::ExitCode;

use access::ApiToken;
use domain::{AccountId, ApiKeyId, Scope, Timestamp};
use runtime::{Clock, Config};
use serde_json::json;
use store::{KeyNotRotated, KeyRotation, NewApiKey, Store};

use crate::args::KeyCommand;
use crate::failure::{Failure, print};
use crate::key_terms::{AccountLimit, Lifetime, RequestLimit};
use crate::serve::open_store;

/// What a key may do when nothing is said: everything a seller needs, nothing an operator does.
const SELLER: [Scope; 4] =
    [Scope::PaymentsWrite, Scope::PaymentsRead, Scope::Webhooks, Scope::Risk];

pub(crate) async fn run(config: &Config, command: KeyCommand) -> Result<ExitCode, Failure> {
    let store = open_store(config)?;
    let now = Timestamp::from_unix_ms(Clock::system().now_unix_ms());
    match command {
        KeyCommand::Create { account, name, scopes, expires_in, limit } => {
            let scopes = if scopes.is_empty() { SELLER.to_vec() } else { scopes };
            let account = account_of(&store, account, &name, now).await?;
            if let Some(RequestLimit(count)) = limit {
                store.limit_account(account, Some(count)).await?;
            }
            create(&store, account, scopes, (expires_in, now)).await
        }
        KeyCommand::Rotate { id, overlap, expires_in } => {
            rotate(&store, id, (overlap, expires_in), now).await
        }
        KeyCommand::Limit { account, limit } => limit_account(&store, account, limit).await,
        KeyCommand::List => list(&store).await,
        KeyCommand::Revoke { id } => revoke(&store, id, now).await,
    }
}

/// The account that is named, or a new one.
async fn account_of(
    store: &Store,
    account: Option<AccountId>,
    name: &str,
    now: Timestamp,
) -> Result<AccountId, Failure> {
    match account {
        Some(account) if store.has_account(account).await? => Ok(account),
        Some(account) => Err(no_account(account)),
        None => {
            let account = AccountId::new(runtime::new_uuid());
            store.create_account(account, name, now).await?;
            Ok(account)
        }
    }
}

fn no_account(account: AccountId) -> Failure {
    Failure::Said(format!("there is no account {account}"))
}

async fn create(
    store: &Store,
    account: AccountId,
    scopes: Vec<Scope>,
    (expires_in, now): (Option<Lifetime>, Timestamp),
) -> Result<ExitCode, Failure> {
    let token = ApiToken::generate();
    let key = NewApiKey {
        id: ApiKeyId::new(runtime::new_uuid()),
        account,
        token_sha256: token.sha256(),
        last_four: token.last_four().to_owned(),
        scopes,
        expires_at: expires_in.map(|Lifetime(time)| now.plus(time)),
    };
    store.create_api_key(&key, now).await?;
    print(json!({
        "account": account,
        "id": key.id,
        "key": token.reveal(),
        "scopes": names(&key.scopes),
        "expires_at": key.expires_at,
    }))?;
    Ok(ExitCode::SUCCESS)
}

async fn rotate(
    store: &Store,
    replaces: ApiKeyId,
    (Lifetime(overlap), expires_in): (Lifetime, Option<Lifetime>),
    now: Timestamp,
) -> Result<ExitCode, Failure> {
    let token = ApiToken::generate();
    let rotation = KeyRotation {
        replaces,
        old_until: now.plus(overlap),
        id: ApiKeyId::new(runtime::new_uuid()),
        token_sha256: token.sha256(),
        last_four: token.last_four().to_owned(),
        expires_at: expires_in.map(|Lifetime(time)| now.plus(time)),
    };
    let rotated = store.rotate_api_key(&rotation, now).await.map_err(|error| match error {
        KeyNotRotated::Store(error) => error.into(),
        told @ (KeyNotRotated::NoGoodKey(_) | KeyNotRotated::Replaced { .. }) => {
            Failure::Said(told.to_string())
        }
    })?;
    print(json!({
        "account": rotated.account,
        "id": rotation.id,
        "key": token.reveal(),
        "scopes": names(&rotated.scopes),
        "expires_at": rotation.expires_at,
        "replaces": replaces,
        "replaced_until": rotated.old_until,
    }))?;
    Ok(ExitCode::SUCCESS)
}

async fn limit_account(
    store: &Store,
    account: AccountId,
    limit: AccountLimit,
) -> Result<ExitCode, Failure> {
    let count = match limit {
        AccountLimit::Own(RequestLimit(count)) => Some(count),
        AccountLimit::Default => None,
    };
    if !store.limit_account(account, count).await? {
        return Err(no_account(account));
    }
    match count {
        Some(count) => print(format_args!("{account} may send {count} requests in a second"))?,
        None => print(format_args!("{account} may send what every key may"))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(store: &Store) -> Result<ExitCode, Failure> {
    for key in store.list_api_keys().await? {
        print(json!({
            "id": key.id,
            "account": key.account,
            "account_name": key.account_name,
            "ends_in": key.last_four,
            "scopes": names(&key.scopes),
            "created_at": key.created_at,
            "last_used_at": key.last_used_at,
            "expires_at": key.expires_at,
            "revoked_at": key.revoked_at,
            "replaces": key.replaces,
            "requests_per_second": key.requests_per_second,
        }))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn names(scopes: &[Scope]) -> Vec<&'static str> {
    scopes.iter().map(|scope| scope.as_str()).collect()
}

async fn revoke(store: &Store, id: ApiKeyId, now: Timestamp) -> Result<ExitCode, Failure> {
    if store.revoke_api_key(id, now).await? {
        print(format_args!("{id} is revoked; every process refuses it within 5 s"))?;
        Ok(ExitCode::SUCCESS)
    } else {
        Err(Failure::Said(format!("there is no key {id} that is still good")))
    }
}
