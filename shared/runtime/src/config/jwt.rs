//! Tokens of an identity provider, where they are taken as well as API keys.

use serde::Deserialize;

use super::Config;
use super::error::Issue;

/// `[jwt]`: tokens of an identity provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtConfig {
    /// Who makes them (`iss`); empty: none are taken.
    pub issuer: String,
    /// For whom they must be made (`aud`).
    pub audience: String,
    /// The issuer's public keys (RFC 7517): a file, or an http or https URL.
    pub jwks: String,
    /// The algorithms that are taken.
    pub algorithms: Vec<JwtAlgorithm>,
    /// How far clocks may be apart, in seconds.
    pub leeway_secs: u64,
    /// How often the keys are read again, in seconds.
    pub refresh_secs: u64,
    /// The claim that names the account.
    pub account_claim: String,
    /// The claim that lists the scopes.
    pub scope_claim: String,
}

/// How a token may be signed. There is no other way: neither without a signature nor with a shared secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum JwtAlgorithm {
    /// RSA, PKCS#1 v1.5, SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA over P-256, SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// Settings that tokens cannot be checked with.
pub(super) fn errors(config: &Config) -> Vec<Issue> {
    let JwtConfig { issuer, audience, jwks, algorithms, account_claim, scope_claim, .. } =
        &config.jwt;
    if issuer.is_empty() {
        return Vec::new();
    }
    let empty = [
        ("jwt.audience", audience.is_empty()),
        ("jwt.jwks", jwks.is_empty()),
        ("jwt.algorithms", algorithms.is_empty()),
        ("jwt.account_claim", account_claim.is_empty()),
        ("jwt.scope_claim", scope_claim.is_empty()),
    ];
    let empty = empty.into_iter().filter(|(_, is_empty)| *is_empty);
    empty.map(|(setting, _)| Issue::new(setting, "is needed with jwt.issuer")).collect()
}
