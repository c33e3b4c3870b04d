//! One call of an engine.

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::answer::NoDecision;
use super::remote::Remote;

/// The longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

const JSON: &str = "application/json";

/// An answer that was read to its end.
#[derive(Debug)]
pub(super) struct Heard(Vec<u8>);

impl Heard {
    pub(super) fn body(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }
}

/// Sends a question, and reads an answer that can be a decision. One time-out bounds all of it.
pub(super) async fn post(engine: &Remote, body: Vec<u8>) -> Result<Heard, NoDecision> {
    let mut request =
        engine.client.post(&engine.url).header(CONTENT_TYPE, JSON).header(ACCEPT, JSON).body(body);
    let token = engine.token.expose_secret();
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    let call = async {
        let response = request.send().await.map_err(|_| NoDecision::Unreachable)?;
        read(response).await
    };
    tokio::time::timeout(engine.timeout, call).await.unwrap_or(Err(NoDecision::Timeout))
}

async fn read(mut response: reqwest::Response) -> Result<Heard, NoDecision> {
    let status = response.status();
    if status.is_redirection() {
        return Err(NoDecision::Redirect);
    }
    if status != StatusCode::OK {
        return Err(NoDecision::Status(status.as_u16()));
    }
    if !is_json(response.headers()) {
        return Err(NoDecision::NotJson);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| NoDecision::Unreachable)? {
        if body.len().saturating_add(chunk.len()) > MAX_ANSWER_BYTES {
            return Err(NoDecision::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Heard(body))
}

fn is_json(headers: &HeaderMap) -> bool {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = declared.and_then(|value| value.split(';').next());
    media_type.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(JSON))
}
