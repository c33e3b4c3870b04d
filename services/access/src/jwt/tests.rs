//! Tokens as providers make them, and as nobody may.

use std::time::Duration;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD as B64, Engine};
use jsonwebtoken::Algorithm;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair, RsaPublicKeyComponents,
};
use runtime::config::JwtAlgorithm;
use serde_json::json;
use testkit::eventually;

use super::*;

const NOW: i64 = 1_700_000_000;
const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "https://pay.example";

/// For these tests alone; it signs nothing anywhere.
const RSA: &[u8] = include_bytes!("test-key.rsa.der");

/// A provider's key: its public part, and what signs.
struct Pair {
    algorithm: Algorithm,
    public: Value,
    private: Private,
}

enum Private {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Pair {
    fn es256(id: &str) -> Self {
        let (random, kind) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let document = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = (B64.encode(&point[1..33]), B64.encode(&point[33..]));
        Self {
            algorithm: Algorithm::ES256,
            public: json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": id}),
            private: Private::Ecdsa(pair),
        }
    }

    fn eddsa(id: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let x = B64.encode(pair.public_key().as_ref());
        Self {
            algorithm: Algorithm::EdDSA,
            public: json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": id, "use": "sig"}),
            private: Private::Ed25519(pair),
        }
    }

    fn rs256(id: &str) -> Self {
        let pair = RsaKeyPair::from_der(RSA).unwrap();
        let RsaPublicKeyComponents { n, e } =
            RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
        let (modulus, exponent) = (B64.encode(n), B64.encode(e));
        Self {
            algorithm: Algorithm::RS256,
            public: json!({"kty": "RSA", "n": modulus, "e": exponent, "kid": id, "alg": "RS256"}),
            private: Private::Rsa(pair),
        }
    }

    fn id(&self) -> &str {
        self.public["kid"].as_str().unwrap()
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_as(&json!({"alg": format!("{:?}", self.algorithm), "kid": self.id()}), claims)
    }

    fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let random = SystemRandom::new();
        let signature = match &self.private {
            Private::Ecdsa(pair) => {
                pair.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec()
            }
            Private::Ed25519(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Private::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let padding = &RSA_PKCS1_SHA256;
                pair.sign(padding, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{message}.{}", B64.encode(signature))
    }
}

/// What is signed.
fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()))
}

fn document(pairs: &[&Pair]) -> String {
    let keys: Vec<&Value> = pairs.iter().map(|pair| &pair.public).collect();
    json!({"keys": keys}).to_string()
}

fn config(jwks: &str) -> JwtConfig {
    JwtConfig {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        jwks: jwks.to_owned(),
        algorithms: vec![JwtAlgorithm::Rs256, JwtAlgorithm::Es256, JwtAlgorithm::EdDsa],
        leeway_secs: 30,
        refresh_secs: 1,
        account_claim: "quittance_account".to_owned(),
        scope_claim: "scope".to_owned(),
    }
}

/// What takes the tokens of these keys, which it has in a file.
fn taker(pairs: &[&Pair], change: impl FnOnce(&mut JwtConfig)) -> (Jwt, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document(pairs)).unwrap();
    let mut config = config(file.path().to_str().unwrap());
    change(&mut config);
    let keys = KeyReader::open(&config).unwrap();
    (Jwt(Arc::new(Shared { config, keys })), file)
}

fn account() -> AccountId {
    AccountId::new(runtime::new_uuid())
}

/// Claims that are good, with some of them replaced; null takes one away.
fn claims(account: AccountId, others: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 60, "sub": "agent",
        "quittance_account": account, "scope": "payments:read openid webhooks",
    });
    for (name, value) in others.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

#[tokio::test]
async fn a_token_of_the_issuer_stands_for_its_account_with_its_scopes() {
    let pairs = [Pair::rs256("r"), Pair::es256("e"), Pair::eddsa("d")];
    let (jwt, _file) = taker(&pairs.each_ref(), |_| {});
    for pair in &pairs {
        let account = account();
        let token = pair.sign(&claims(account, &json!({})));
        let scopes = vec![Scope::PaymentsRead, Scope::Webhooks];
        assert!(Jwt::is_one(&token));
        assert_eq!(jwt.check(&token, NOW), Ok(Bearer { account, scopes }), "{:?}", pair.algorithm);
    }
}

#[tokio::test]
async fn only_what_needs_no_key_of_the_ledger_is_granted() {
    let pair = Pair::es256("e");
    let (jwt, _file) = taker(&[&pair], |_| {});
    for (claim, scopes) in [
        (json!("ops risk payments:write"), vec![Scope::PaymentsWrite]),
        (json!(["payments:read", "ops", 7]), vec![Scope::PaymentsRead]),
        (json!(["payments:read payments:write"]), vec![]),
        (json!(7), vec![]),
        (Value::Null, vec![]),
    ] {
        let token = pair.sign(&claims(account(), &json!({"scope": claim})));
        assert_eq!(jwt.check(&token, NOW).unwrap().scopes, scopes, "{claim}");
    }
}

#[tokio::test]
async fn a_token_with_other_claims_is_refused() {
    let pair = Pair::es256("e");
    let (jwt, _file) = taker(&[&pair], |_| {});
    for (others, refused) in [
        (json!({"iss": "https://evil.example"}), BadToken::NotForUs),
        (json!({"iss": null}), BadToken::NotForUs),
        (json!({"aud": "https://other.example"}), BadToken::NotForUs),
        (json!({"aud": null}), BadToken::NotForUs),
        (json!({"exp": NOW - 31}), BadToken::Expired),
        (json!({"exp": NOW - 30}), BadToken::Expired),
        (json!({"exp": i64::MIN}), BadToken::Malformed),
        (json!({"nbf": NOW + 31}), BadToken::NotYet),
        (json!({"nbf": i64::MAX}), BadToken::NotYet),
        (json!({"exp": null}), BadToken::Malformed),
        (json!({"exp": "9999999999"}), BadToken::Malformed),
        (json!({"nbf": "soon"}), BadToken::Malformed),
        (json!({"quittance_account": null}), BadToken::NoAccount),
        (json!({"quittance_account": "acct_x"}), BadToken::NoAccount),
        (json!({"quittance_account": 7}), BadToken::NoAccount),
    ] {
        let token = pair.sign(&claims(account(), &others));
        assert_eq!(jwt.check(&token, NOW), Err(refused), "{others}");
    }
    for others in [
        json!({"exp": NOW - 29}),
        json!({"nbf": NOW + 30}),
        json!({"aud": ["https://other.example", AUDIENCE]}),
    ] {
        let token = pair.sign(&claims(account(), &others));
        assert!(jwt.check(&token, NOW).is_ok(), "{others}");
    }
}

#[tokio::test]
async fn a_token_that_the_issuer_did_not_sign_is_refused_however_it_says_it_is() {
    let (pair, other, rsa) = (Pair::es256("e"), Pair::es256("e"), Pair::rs256("r"));
    let (jwt, _file) = taker(&[&pair, &rsa], |_| {});
    let claims = claims(account(), &json!({}));
    assert_eq!(jwt.check(&other.sign(&claims), NOW), Err(BadToken::Signature));

    let good = pair.sign(&claims);
    let parts: Vec<&str> = good.split('.').collect();
    let with_header =
        |header: Value| format!("{}.{}.{}", B64.encode(header.to_string()), parts[1], parts[2]);
    for alg in ["none", "None", "ES384", "", "RS512"] {
        let token = with_header(json!({"alg": alg, "kid": "e"}));
        assert!(jwt.check(&token, NOW).is_err(), "{alg}");
    }
    let unsigned = format!("{}.{}.", B64.encode(r#"{"alg":"none"}"#), parts[1]);
    assert!(jwt.check(&unsigned, NOW).is_err());
    // The public key is no secret, and no key of another kind.
    for secret in [RSA.to_vec(), pair.public["x"].as_str().unwrap().as_bytes().to_vec()] {
        for id in ["e", "r"] {
            let message = message(&json!({"alg": "HS256", "kid": id}), &claims);
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            let forged = B64.encode(hmac::sign(&key, message.as_bytes()));
            let forged = format!("{message}.{forged}");
            assert_eq!(jwt.check(&forged, NOW), Err(BadToken::Algorithm));
        }
    }
    assert_eq!(
        jwt.check(&with_header(json!({"alg": "RS256", "kid": "e"})), NOW),
        Err(BadToken::Algorithm)
    );
    assert_eq!(
        jwt.check(&with_header(json!({"alg": "ES256", "kid": "x"})), NOW),
        Err(BadToken::UnknownKey)
    );
    let changed = format!(
        "{}.{}.{}",
        parts[0],
        B64.encode(claims.to_string().replace("agent", "admin")),
        parts[2]
    );
    assert_eq!(jwt.check(&changed, NOW), Err(BadToken::Signature));
    for malformed in ["..", "a.b.c", "", "e30.e30.e30", &good[1..]] {
        assert!(jwt.check(malformed, NOW).is_err(), "{malformed}");
    }
}

#[tokio::test]
async fn a_key_is_used_with_what_it_is_for_and_by_algorithms_that_are_taken() {
    let (pair, mut other) = (Pair::eddsa("d"), Pair::es256("e"));
    let claims = claims(account(), &json!({}));
    let (jwt, _file) = taker(&[&pair, &other], |config| {
        config.algorithms = vec![JwtAlgorithm::EdDsa];
    });
    assert!(jwt.check(&pair.sign(&claims), NOW).is_ok());
    assert_eq!(jwt.check(&other.sign(&claims), NOW), Err(BadToken::Algorithm));
    for (member, value) in [("use", "enc"), ("alg", "ES384"), ("crv", "P-384")] {
        let public = other.public.clone();
        other.public[member] = value.into();
        let (jwt, _file) = taker(&[&pair, &other], |_| {});
        assert!(jwt.check(&other.sign(&claims), NOW).is_err(), "{member}");
        other.public = public;
    }
    // Without a name, a token is of the only key that it can be of.
    let nameless = other.sign_as(&json!({"alg": "ES256"}), &claims);
    let (jwt, _file) = taker(&[&pair, &other], |_| {});
    assert!(jwt.check(&nameless, NOW).is_ok());
    let (jwt, _file) = taker(&[&other, &Pair::es256("f")], |_| {});
    assert_eq!(jwt.check(&nameless, NOW), Err(BadToken::UnknownKey));
}

#[tokio::test]
async fn keys_that_change_are_read_again_and_those_known_outlive_a_broken_file() {
    let (old, new) = (Pair::es256("old"), Pair::eddsa("new"));
    let (jwt, file) = taker(&[&old], |_| {});
    let claims = claims(account(), &json!({}));
    assert!(jwt.check(&new.sign(&claims), NOW).is_err());
    std::fs::write(file.path(), "{}").unwrap();
    assert!(jwt.check(&old.sign(&claims), NOW).is_ok());
    std::fs::write(file.path(), document(&[&new])).unwrap();
    eventually(Duration::from_secs(60), || async {
        jwt.check(&new.sign(&claims), NOW).is_ok().then_some(())
    })
    .await;
    assert!(jwt.check(&old.sign(&claims), NOW).is_err());
}

#[tokio::test]
async fn keys_are_read_from_where_the_issuer_shows_them() {
    let pair = Pair::rs256("r");
    let document = document(&[&pair]);
    let router = axum::Router::new().route("/keys", axum::routing::get(|| async { document }));
    let listener = runtime::http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    tokio::spawn(runtime::http::serve(listener, router, Default::default()));
    let config = config(&url);
    let keys = KeyReader::open(&config).unwrap();
    let jwt = Jwt(Arc::new(Shared { config, keys }));
    let token = pair.sign(&claims(account(), &json!({})));
    eventually(Duration::from_secs(60), || async { jwt.check(&token, NOW).is_ok().then_some(()) })
        .await;
}

#[tokio::test]
async fn a_file_without_a_key_that_can_be_used_is_refused_at_the_start() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let secret = r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "s"}]}"#;
    for text in ["", "{}", "[]", r#"{"keys": []}"#, r#"{"keys": [7, {}]}"#, secret] {
        std::fs::write(file.path(), text).unwrap();
        assert!(KeyReader::open(&config(file.path().to_str().unwrap())).is_err(), "{text}");
    }
    assert!(KeyReader::open(&config("/nowhere/keys.json")).is_err());
}
