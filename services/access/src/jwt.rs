//! Tokens of an identity provider (RFC 7519), which stand for an account without a key of its own.

mod cryptography;
mod key_set;
mod reader;

use std::sync::Arc;

use domain::{AccountId, Scope};
use jsonwebtoken::{TokenData, Validation, decode, decode_header};
use runtime::Config;
use runtime::config::JwtConfig;
use serde::Deserialize;
use serde_json::{Map, Value};

pub use self::reader::JwtSetupError;
use self::reader::KeyReader;

/// What a token may be good for. The rest is done under the name of a key, which the ledger keeps.
const GRANTABLE: [Scope; 3] = [Scope::PaymentsWrite, Scope::PaymentsRead, Scope::Webhooks];

/// Checks tokens of one issuer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Jwt(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: JwtConfig,
    keys: KeyReader,
}

/// What a good token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub(crate) account: AccountId,
    pub(crate) scopes: Vec<Scope>,
}

/// Why a token is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// No token at all.
    #[error("The token is malformed")]
    Malformed,
    /// Signed in a way that is not taken, or not at all.
    #[error("The token's algorithm is not taken")]
    Algorithm,
    /// No key of the issuer's.
    #[error("The token's key is not known")]
    UnknownKey,
    /// Not what the key has signed.
    #[error("The token's signature is not good")]
    Signature,
    /// Of somebody else, or for somebody else.
    #[error("The token is not of this issuer, or not for this audience")]
    NotForUs,
    /// Too late.
    #[error("The token has expired")]
    Expired,
    /// Too early.
    #[error("The token is not good yet")]
    NotYet,
    /// It names no account, or not as one is named.
    #[error("The token names no account")]
    NoAccount,
}

/// What is read of a token. The library leaves out what has the wrong type; here it is malformed.
#[derive(Deserialize)]
struct Claims {
    exp: i64,
    nbf: Option<i64>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Jwt {
    /// The tokens that this configuration takes, if it takes any. Must be called within a tokio runtime,
    /// whose task reads the keys again until the last clone is gone.
    ///
    /// # Errors
    /// [`JwtSetupError`] when the keys are in a file that cannot be used.
    pub fn from_config(config: &Config) -> Result<Option<Self>, JwtSetupError> {
        let config = &config.jwt;
        if config.issuer.is_empty() {
            return Ok(None);
        }
        let keys = KeyReader::open(config)?;
        Ok(Some(Self(Arc::new(Shared { config: config.clone(), keys }))))
    }

    /// Whether a bearer looks like a token rather than an API key.
    pub(crate) fn is_one(token: &str) -> bool {
        token.split('.').count() == 3
    }

    /// What a token says, if it is good at this time, in seconds since the epoch.
    pub(crate) fn check(&self, token: &str, now: i64) -> Result<Bearer, BadToken> {
        let Shared { config, keys } = &*self.0;
        // What it says of its algorithm is only ever compared with the key's own.
        let header = decode_header(token).map_err(|error| refusal(&error))?;
        let key = keys.find(header.kid.as_deref(), header.alg)?;
        let mut validation = Validation::new(key.algorithm);
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        // Time is checked below, by our clock.
        validation.validate_exp = false;
        let decoded: TokenData<Claims> =
            decode(token, &key.decoding, &validation).map_err(|error| refusal(&error))?;
        let Claims { exp, nbf, others } = decoded.claims;
        let leeway = i64::try_from(config.leeway_secs).unwrap_or(i64::MAX);
        if exp.saturating_add(leeway) <= now {
            return Err(BadToken::Expired);
        }
        if nbf.is_some_and(|nbf| nbf.saturating_sub(leeway) > now) {
            return Err(BadToken::NotYet);
        }
        let account = others.get(&config.account_claim).and_then(Value::as_str);
        let account = account.and_then(|text| text.parse().ok()).ok_or(BadToken::NoAccount)?;
        Ok(Bearer { account, scopes: scopes(others.get(&config.scope_claim)) })
    }
}

/// Those scopes of a claim that a token may give.
fn scopes(claim: Option<&Value>) -> Vec<Scope> {
    let names: Vec<&str> = match claim {
        Some(Value::String(text)) => text.split_ascii_whitespace().collect(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    GRANTABLE.into_iter().filter(|scope| names.contains(&scope.as_str())).collect()
}

fn refusal(error: &jsonwebtoken::errors::Error) -> BadToken {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidAlgorithm
        | ErrorKind::InvalidAlgorithmName
        | ErrorKind::UnsupportedAlgorithm => BadToken::Algorithm,
        // It is not there, or no time.
        ErrorKind::MissingRequiredClaim(claim) if claim == "exp" => BadToken::Malformed,
        ErrorKind::InvalidSignature => BadToken::Signature,
        ErrorKind::InvalidIssuer
        | ErrorKind::InvalidAudience
        | ErrorKind::MissingRequiredClaim(_) => BadToken::NotForUs,
        _ => BadToken::Malformed,
    }
}

#[cfg(test)]
mod tests;
