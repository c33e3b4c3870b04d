//! Keys in AWS KMS, against a stand-in that speaks its protocol (JSON 1.1), and lies where a story
//! wants it to.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy::consensus::TxEnvelope;
use alloy::eips::eip2718::Decodable2718;
use alloy::signers::k256::ecdsa::signature::hazmat::PrehashSigner;
use alloy::signers::k256::ecdsa::{Signature, SigningKey};
use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{Address, Bytes, U256, b256};
use aws_sdk_kms::config::Credentials;
use axum::Router;
use axum::body::Bytes as Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chain::{Call, Fees, KmsKey, SignError, SignedTransaction, Signer, TransactionPlan};
use domain::ChainId;
use serde_json::{Value, json};

const KEY_ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the stand-in does when it is asked to sign.
#[derive(Clone, Copy, Debug)]
enum Mood {
    LowS,
    HighS,
    Slow(Duration),
    Refuses(StatusCode, &'static str),
    /// Fails so many times, and then signs.
    Recovers(u32),
    UsesAnotherKey,
    AnswersNonsense,
    NeverAnswers,
}

struct Kms {
    key: SigningKey,
    mood: Mutex<Mood>,
    asked: Mutex<u32>,
}

/// Half of the curve's order: a signature's s must not be above it (EIP-2).
const HALF_ORDER: U256 = U256::from_be_bytes(
    b256!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0").0,
);

impl Kms {
    async fn start(mood: Mood) -> (Arc<Self>, KmsKey) {
        let key = SigningKey::from_slice(&[0x42; 32]).unwrap();
        let kms = Arc::new(Self { key, mood: Mutex::new(mood), asked: Mutex::new(0) });
        let answering = Arc::clone(&kms);
        let answer = move |headers: HeaderMap, body: Body| {
            let kms = Arc::clone(&answering);
            async move { kms.answer(&headers, &body).await }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().route("/", post(answer));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let key = KmsKey {
            key_id: KEY_ID.to_owned(),
            region: "eu-central-1".to_owned(),
            endpoint_url: Some(url),
            timeout: PATIENCE,
        };
        (kms, key)
    }

    fn address(&self) -> Address {
        PrivateKeySigner::from_signing_key(self.key.clone()).address()
    }

    fn asked(&self) -> u32 {
        *self.asked.lock().unwrap()
    }

    async fn answer(&self, headers: &HeaderMap, body: &[u8]) -> Response {
        let asked: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(asked["KeyId"], KEY_ID);
        match headers["x-amz-target"].to_str().unwrap() {
            "TrentService.GetPublicKey" => self.public_key(),
            "TrentService.Sign" => {
                assert_eq!(asked["MessageType"], "DIGEST");
                assert_eq!(asked["SigningAlgorithm"], "ECDSA_SHA_256");
                let digest = BASE64.decode(asked["Message"].as_str().unwrap()).unwrap();
                self.sign(&digest).await
            }
            other => panic!("{other} was not expected"),
        }
    }

    fn public_key(&self) -> Response {
        // SubjectPublicKeyInfo of id-ecPublicKey on secp256k1 (RFC 5480), up to the point.
        let head = alloy_primitives::hex!("3056301006072a8648ce3d020106052b8104000a034200");
        let point = self.key.verifying_key().to_encoded_point(false);
        let key = BASE64.encode([&head, point.as_bytes()].concat());
        said(StatusCode::OK, &json!({ "KeyId": KEY_ID, "PublicKey": key }))
    }

    async fn sign(&self, digest: &[u8]) -> Response {
        let asked = {
            let mut asked = self.asked.lock().unwrap();
            *asked += 1;
            *asked
        };
        let mood = *self.mood.lock().unwrap();
        let low: Signature = self.key.sign_prehash(digest).unwrap();
        let low = low.normalize_s().unwrap_or(low);
        let failed = |status, code| said(status, &json!({ "__type": code, "message": "no" }));
        let signature = match mood {
            Mood::LowS => low,
            Mood::HighS => Signature::from_scalars(low.r(), -*low.s()).unwrap(),
            Mood::Slow(pause) => {
                tokio::time::sleep(pause).await;
                low
            }
            Mood::Refuses(status, code) => return failed(status, code),
            Mood::Recovers(failures) if asked <= failures => {
                return failed(StatusCode::INTERNAL_SERVER_ERROR, "KMSInternalException");
            }
            Mood::Recovers(_) => low,
            Mood::UsesAnotherKey => {
                SigningKey::from_slice(&[0x43; 32]).unwrap().sign_prehash(digest).unwrap()
            }
            Mood::AnswersNonsense => {
                return said(StatusCode::OK, &json!({ "KeyId": KEY_ID, "Signature": "AAAA" }));
            }
            Mood::NeverAnswers => std::future::pending().await,
        };
        let signature = BASE64.encode(signature.to_der().as_bytes());
        said(StatusCode::OK, &json!({ "KeyId": KEY_ID, "Signature": signature }))
    }
}

fn said(status: StatusCode, body: &Value) -> Response {
    let kind = [("content-type", "application/x-amz-json-1.1")];
    (status, kind, body.to_string()).into_response()
}

async fn signer(key: &KmsKey) -> Signer {
    let credentials = Credentials::new("AKIDEXAMPLE", "a-secret-of-the-test", None, None, "test");
    Signer::from_kms_as(key, credentials).await.unwrap()
}

fn plan() -> TransactionPlan {
    TransactionPlan {
        chain: ChainId::new(84_532).unwrap(),
        nonce: 7,
        call: Call { target: Address::repeat_byte(1), input: Bytes::from_static(b"input") },
        gas_limit: 100_000,
        fees: Fees { max_fee: 10, priority: 1 },
    }
}

/// Fails unless these bytes are a transaction that nodes take, of this signer.
fn assert_is_signed_by(signed: &SignedTransaction, address: Address) {
    let envelope = TxEnvelope::decode_2718(&mut signed.raw.as_slice()).unwrap();
    assert_eq!(*envelope.tx_hash(), signed.hash);
    let signature = envelope.signature();
    assert!(signature.s() <= HALF_ORDER, "a high s");
    let recovered = signature.recover_address_from_prehash(&envelope.signature_hash()).unwrap();
    assert_eq!(recovered, address);
}

#[tokio::test]
async fn a_key_in_kms_signs_for_its_address_whichever_s_it_answers_with() {
    for mood in [Mood::LowS, Mood::HighS] {
        let (kms, key) = Kms::start(mood).await;
        let signer = signer(&key).await;
        assert_eq!(signer.address(), kms.address());
        for nonce in 0..8 {
            let plan = TransactionPlan { nonce, ..plan() };
            assert_is_signed_by(&signer.sign(&plan).await.unwrap(), kms.address());
        }
    }
}

#[tokio::test]
async fn a_slow_answer_is_waited_for() {
    let (kms, key) = Kms::start(Mood::Slow(Duration::from_millis(300))).await;
    assert_is_signed_by(&signer(&key).await.sign(&plan()).await.unwrap(), kms.address());
}

#[tokio::test]
async fn an_answer_that_never_comes_is_given_up() {
    let (_kms, key) = Kms::start(Mood::NeverAnswers).await;
    let limit = Duration::from_secs(3);
    let signer = signer(&KmsKey { timeout: limit, ..key }).await;
    assert_eq!(signer.sign(&plan()).await, Err(SignError::TimedOut { limit }));
}

#[tokio::test]
async fn a_refusal_is_told_in_kmss_own_word_and_the_key_works_again_afterwards() {
    let refuses = Mood::Refuses(StatusCode::BAD_REQUEST, "DisabledException");
    let (kms, key) = Kms::start(refuses).await;
    let signer = signer(&key).await;
    let refused = signer.sign(&plan()).await.unwrap_err();
    assert_eq!(refused, SignError::Unavailable("DisabledException".to_owned()));
    assert_eq!(kms.asked(), 1, "asking again changes nothing about a refusal");

    *kms.mood.lock().unwrap() = Mood::LowS;
    assert_is_signed_by(&signer.sign(&plan()).await.unwrap(), kms.address());
}

#[tokio::test]
async fn a_passing_failure_is_asked_again() {
    let (kms, key) = Kms::start(Mood::Recovers(1)).await;
    assert_is_signed_by(&signer(&key).await.sign(&plan()).await.unwrap(), kms.address());
    assert_eq!(kms.asked(), 2);
}

#[tokio::test]
async fn what_is_no_signature_of_the_address_is_never_used() {
    for mood in [Mood::UsesAnotherKey, Mood::AnswersNonsense] {
        let (_kms, key) = Kms::start(mood).await;
        assert_eq!(signer(&key).await.sign(&plan()).await, Err(SignError::Wrong), "{mood:?}");
    }
}

#[tokio::test]
async fn a_kms_that_is_not_there_is_said_at_the_start() {
    let key = KmsKey {
        key_id: KEY_ID.to_owned(),
        region: "eu-central-1".to_owned(),
        endpoint_url: Some("http://127.0.0.1:9".to_owned()),
        timeout: PATIENCE,
    };
    let credentials = Credentials::new("AKIDEXAMPLE", "a-secret-of-the-test", None, None, "test");
    let refused = Signer::from_kms_as(&key, credentials).await.unwrap_err();
    assert!(matches!(refused, SignError::Unavailable(_)), "{refused:?}");
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    let (_kms, key) = Kms::start(Mood::LowS).await;
    let key = KmsKey { endpoint_url: key.endpoint_url.map(|url| url + "/?token=hunter2"), ..key };
    assert!(!format!("{key:?}").contains("hunter2"));
}
