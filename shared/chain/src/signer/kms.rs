//! Keys in AWS KMS: signed for there, never seen here.

use std::time::Duration;

use alloy::signers::Signer as _;
use alloy::signers::aws::{AwsSigner, AwsSignerError};
use alloy_primitives::{Address, B256, Signature};
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_kms::Client;
use aws_sdk_kms::config::Credentials;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use super::{KmsKey, SignError};

/// How often one question is put, as long as there is time.
const ATTEMPTS: u32 = 3;

/// A key in AWS KMS.
#[derive(Clone)]
pub(super) struct KmsSigner {
    key: AwsSigner,
    limit: Duration,
}

impl KmsSigner {
    /// Asks KMS which address the key signs for.
    pub(super) async fn connect(
        key: &KmsKey,
        credentials: Option<Credentials>,
    ) -> Result<Self, SignError> {
        let limit = key.timeout;
        let connecting = async {
            let client = client(key, credentials).await;
            AwsSigner::new(client, key.key_id.clone(), None)
                .await
                .map_err(|error| reason(&error, limit))
        };
        let key = within(limit, connecting).await?;
        Ok(Self { key, limit })
    }

    pub(super) fn address(&self) -> Address {
        self.key.address()
    }

    /// A signature with a low s (EIP-2), proven to be of the address.
    pub(super) async fn sign_hash(&self, hash: &B256) -> Result<Signature, SignError> {
        let signing = async {
            self.key.sign_hash(hash).await.map_err(|error| match error {
                alloy::signers::Error::Other(error) => match error.downcast_ref() {
                    Some(error) => reason(error, self.limit),
                    None => SignError::Wrong,
                },
                _ => SignError::Wrong,
            })
        };
        within(self.limit, signing).await
    }
}

/// A client of its own, because the library's default one brings a second TLS stack along.
async fn client(key: &KmsKey, credentials: Option<Credentials>) -> Client {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .region(Region::new(key.region.clone()))
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(
            TimeoutConfig::builder()
                .operation_timeout(key.timeout)
                .operation_attempt_timeout(key.timeout / 2)
                .build(),
        );
    if let Some(url) = &key.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if let Some(credentials) = credentials {
        loader = loader.credentials_provider(credentials);
    }
    Client::new(&loader.load().await)
}

async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, SignError>>,
) -> Result<T, SignError> {
    tokio::time::timeout(limit, asked).await.unwrap_or(Err(SignError::TimedOut { limit }))
}

fn reason(error: &AwsSignerError, limit: Duration) -> SignError {
    match error {
        AwsSignerError::Sign(error) => refusal(error, limit),
        AwsSignerError::GetPublicKey(error) => refusal(error, limit),
        _ => SignError::Wrong,
    }
}

/// KMS's own word for it. The rest of its message may tell more about the account than a log should.
fn refusal<E: ProvideErrorMetadata>(error: &SdkError<E>, limit: Duration) -> SignError {
    match error {
        SdkError::TimeoutError(_) => SignError::TimedOut { limit },
        SdkError::ServiceError(error) => {
            let code = error.err().code().unwrap_or("it answered with an error");
            SignError::Unavailable(code.chars().take(100).collect())
        }
        SdkError::ResponseError(_) => {
            SignError::Unavailable("its answer cannot be read".to_owned())
        }
        SdkError::ConstructionFailure(_) => {
            SignError::Unavailable("no AWS credentials were found".to_owned())
        }
        _ => SignError::Unavailable(
            "KMS could not be reached, or there are no credentials".to_owned(),
        ),
    }
}
