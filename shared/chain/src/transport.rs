//! JSON-RPC over HTTP, with bounds, and with nothing of the URL in what it says.

use std::task::{Context, Poll};

use alloy::rpc::json_rpc::{RequestPacket, ResponsePacket};
use alloy::transports::{TransportError, TransportErrorKind, TransportFut, TransportResult};
use reqwest::{Client, StatusCode, Url};
use tower::Service;

/// The most that is read of an answer. The receipts of a full block are a few megabytes.
const MOST_BYTES: usize = 64 << 20;

/// The way to one URL.
#[derive(Clone)]
pub(crate) struct Transport {
    client: Client,
    url: Url,
}

impl Transport {
    pub(crate) const fn new(client: Client, url: Url) -> Self {
        Self { client, url }
    }

    async fn post(self, request: RequestPacket) -> TransportResult<ResponsePacket> {
        let sent = self.client.post(self.url).json(&request).send().await;
        let mut response = sent.map_err(|error| broken(&error))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
            if body.len().saturating_add(chunk.len()) > MOST_BYTES {
                return Err(TransportErrorKind::non_retryable_str("answer too large"));
            }
            body.extend_from_slice(&chunk);
        }
        let answer = serde_json::from_slice::<ResponsePacket>(&body);
        match answer {
            Ok(answer) if status.is_success() => Ok(answer),
            // Some nodes give the statuses of errors to their answers.
            Ok(answer) if answer.is_error() && !turns_away(status) => Ok(answer),
            Err(error) if status.is_success() => Err(TransportError::deser_err(error, "")),
            Ok(_) | Err(_) => Err(TransportErrorKind::http_error(status.as_u16(), String::new())),
        }
    }
}

/// Whether this status is about who asks, or about the way to the node, whatever the body says.
fn turns_away(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::PAYMENT_REQUIRED
            | StatusCode::FORBIDDEN
            | StatusCode::PROXY_AUTHENTICATION_REQUIRED
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// What went wrong on the way, without the URL, which may hold a key.
fn broken(error: &reqwest::Error) -> TransportError {
    let what = if error.is_connect() { "no connection" } else { "the connection broke" };
    TransportErrorKind::custom_str(what)
}

impl Service<RequestPacket> for Transport {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> Self::Future {
        Box::pin(self.clone().post(request))
    }
}
