//! The installation's keys, read from the ledger now and then.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use domain::{EndpointId, Timestamp};
use moka::future::Cache;
use receipt::{PublicKey, SigningKey};
use store::{SigningKeyRow, Store, StoreError};
use uuid::Uuid;

use crate::refusal::Refusal;

/// The most endpoints whose keys are in one document: a few hundred kilobytes.
const MOST_ENDPOINTS: i64 = 500;

/// The endpoints that are remembered one by one.
const KEPT_ENDPOINTS: u64 = 10_000;

/// All keys as they were read last.
pub(crate) struct Ring {
    rows: Vec<SigningKeyRow>,
    keys: HashMap<Uuid, SigningKey>,
}

impl Ring {
    fn new(rows: Vec<SigningKeyRow>) -> Self {
        let keys = rows.iter().map(|row| (row.id, SigningKey::from_seed(&row.seed))).collect();
        Self { rows, keys }
    }

    /// The key that signs at this time. There is none only where the ledger was emptied by hand.
    pub(crate) fn signing(&self, now: Timestamp) -> Option<&SigningKey> {
        SigningKeyRow::signing(&self.rows, now).and_then(|row| self.keys.get(&row.id))
    }

    /// What verifies whatever any of them signed or will sign, oldest first.
    pub(crate) fn public(&self) -> impl Iterator<Item = PublicKey> {
        self.rows.iter().filter_map(|row| self.keys.get(&row.id)).map(SigningKey::public)
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// Reads the keys for whoever asks; who asks at the same time shares one look at the ledger.
#[derive(Clone, Debug)]
pub(crate) struct SigningKeys {
    store: Store,
    kept: Cache<(), Arc<Ring>>,
    endpoints: Cache<Option<EndpointId>, Arc<Vec<Vec<u8>>>>,
}

impl SigningKeys {
    /// Those of this ledger, each look at which counts for so long. A key is shown for an hour
    /// before it signs, so nobody misses one that is.
    pub(crate) fn new(store: Store, kept_for: Duration) -> Self {
        let kept = Cache::builder().max_capacity(1).time_to_live(kept_for).build();
        let endpoints =
            Cache::builder().max_capacity(KEPT_ENDPOINTS).time_to_live(kept_for).build();
        Self { store, kept, endpoints }
    }

    /// What the keys of endpoints grow from that are told with Ed25519: of one, or of the newest, as
    /// it was not long ago.
    pub(crate) async fn endpoint_secrets(
        &self,
        endpoint: Option<EndpointId>,
        now: Timestamp,
    ) -> Result<Arc<Vec<Vec<u8>>>, Refusal> {
        let read =
            async { self.store.ed25519_secrets(endpoint, MOST_ENDPOINTS, now).await.map(Arc::new) };
        let kept = self.endpoints.try_get_with(endpoint, read).await;
        kept.map_err(|error: Arc<StoreError>| error.into())
    }

    /// The keys as they were not long ago.
    pub(crate) async fn ring(&self) -> Result<Arc<Ring>, Refusal> {
        let read = async { Ok(Arc::new(Ring::new(self.store.signing_keys().await?))) };
        self.kept.try_get_with((), read).await.map_err(|error: Arc<StoreError>| error.into())
    }
}
