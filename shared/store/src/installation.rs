//! What all processes of an installation know and nobody else does.

use crate::row::unreadable;
use crate::{Store, StoreError};

impl Store {
    /// The installation's secret of this name; it never changes.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer, or has no such secret.
    pub async fn installation_secret(&self, name: &str) -> Result<[u8; 32], StoreError> {
        let secret =
            sqlx::query_scalar!("select secret from installation_secrets where name = $1", name)
                .fetch_optional(&self.pool)
                .await?;
        secret
            .and_then(|secret| secret.try_into().ok())
            .ok_or_else(|| unreadable("installation's secret"))
    }
}
