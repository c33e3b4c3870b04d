//! Poll tokens: each reads one payment and nothing else, for the buyer's agent, who has no key.

use std::fmt;
use std::sync::Arc;

use axum::http::HeaderMap;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use domain::PaymentId;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use store::{Store, StoreError};
use tokio::sync::OnceCell;

use crate::{Denied, bearer};

/// What every poll token begins with.
pub(crate) const PREFIX: &str = "qtp_";

/// The installation's secret that they are made with.
const SECRET: &str = "poll_tokens";

/// Makes and checks poll tokens. Nothing is stored of one: it is a MAC over its payment's id, under
/// a secret that all processes of the installation share. Clones share what was read of it.
#[derive(Clone)]
pub struct PollTokens {
    store: Store,
    secret: Arc<OnceCell<[u8; 32]>>,
}

impl PollTokens {
    /// Those of this ledger.
    pub fn new(store: Store) -> Self {
        Self { store, secret: Arc::default() }
    }

    /// The token of a payment: always the same.
    ///
    /// # Errors
    /// [`StoreError`] when the secret cannot be read; once it was, there are none.
    pub async fn mint(&self, payment: PaymentId) -> Result<String, StoreError> {
        let mac = self.mac(payment).await?.finalize().into_bytes();
        Ok(format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(mac)))
    }

    /// Whether a request brings a poll token, be it good or not, rather than an API key.
    pub fn is_brought(headers: &HeaderMap) -> bool {
        bearer::token(headers).is_ok_and(|token| token.starts_with(PREFIX))
    }

    /// Lets a request in that brings the token of this payment.
    ///
    /// # Errors
    /// [`Denied`], which is also a [`runtime::Problem`] to answer with.
    pub async fn authorize(&self, headers: &HeaderMap, payment: PaymentId) -> Result<(), Denied> {
        let token = bearer::token(headers)?.strip_prefix(PREFIX).ok_or(Denied::NotItsToken)?;
        let token = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| Denied::NotItsToken)?;
        let mac = self.mac(payment).await.map_err(|error| Denied::Undecided(Arc::new(error)))?;
        // Compared in constant time.
        mac.verify_slice(&token).map_err(|_| Denied::NotItsToken)
    }

    async fn mac(&self, payment: PaymentId) -> Result<Hmac<Sha256>, StoreError> {
        let read = || self.store.installation_secret(SECRET);
        let secret = self.secret.get_or_try_init(read).await?;
        let mut mac = Hmac::new_from_slice(secret).expect("HMAC takes a key of any length");
        mac.update(payment.uuid().as_bytes());
        Ok(mac)
    }
}

impl fmt::Debug for PollTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollTokens").finish_non_exhaustive()
    }
}
