//! What the handlers share.

use std::sync::Arc;

use access::{ApiKeys, Caller, PollTokens};
use axum::http::HeaderMap;
use domain::{Scope, Timestamp};
use queue::{Bell, Herald, Queue};
use runtime::Clock;
use store::Store;
use tokio_util::sync::CancellationToken;
use watchtower::Watchtower;

use crate::Settings;
use crate::cancellations::Cancellations;
use crate::desk::Desk;
use crate::refusal::Refusal;
use crate::signing_keys::SigningKeys;
use crate::waiters::Waiters;

/// The status API's state. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    keys: ApiKeys,
    poll_tokens: PollTokens,
    signing_keys: SigningKeys,
    store: Store,
    desk: Desk,
    cancellations: Cancellations,
    watchtower: Watchtower,
    waiters: Waiters,
    herald: Herald,
    bell: Bell,
    clock: Clock,
    stopping: CancellationToken,
}

impl App {
    /// Puts the parts together. Must be called within a tokio runtime: it listens on the status
    /// channel from now on. Requests that wait are answered as soon as `stopping` is cancelled.
    pub fn new(
        settings: Settings,
        store: Store,
        queue: &Queue,
        clock: Clock,
        stopping: CancellationToken,
    ) -> Self {
        let watchtower =
            Watchtower::new(queue.subscribe(), store.clone(), settings.recheck, stopping.clone());
        let waiters = Waiters::new(settings.max_waiters, settings.max_waiters_per_key);
        let desk = Desk::new(store.clone(), settings.max_waiters);
        let herald = Herald::new(queue);
        let cancellations = Cancellations::new(store.clone(), herald.clone(), clock.clone());
        let signing_keys = SigningKeys::new(store.clone(), settings.signing_keys_kept);
        let shared = Shared {
            settings,
            keys: ApiKeys::new(store.clone(), clock.clone()),
            poll_tokens: PollTokens::new(store.clone()),
            signing_keys,
            store,
            desk,
            cancellations,
            watchtower,
            waiters,
            herald,
            bell: queue.bell(),
            clock,
            stopping,
        };
        Self { shared: Arc::new(shared) }
    }

    /// How many requests wait for news now.
    pub fn waiting(&self) -> usize {
        self.shared.waiters.taken()
    }

    /// Who may ask.
    pub fn keys(&self) -> &ApiKeys {
        &self.shared.keys
    }

    /// Who sends these headers, if its key is good for `scope`.
    pub(crate) async fn caller(
        &self,
        headers: &HeaderMap,
        scope: Scope,
    ) -> Result<Caller, Refusal> {
        Ok(self.shared.keys.authorize(headers, scope).await?)
    }

    pub(crate) fn poll_tokens(&self) -> &PollTokens {
        &self.shared.poll_tokens
    }

    pub(crate) fn signing_keys(&self) -> &SigningKeys {
        &self.shared.signing_keys
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    pub(crate) fn store(&self) -> &Store {
        &self.shared.store
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.shared.desk
    }

    pub(crate) fn cancellations(&self) -> &Cancellations {
        &self.shared.cancellations
    }

    pub(crate) fn watchtower(&self) -> &Watchtower {
        &self.shared.watchtower
    }

    pub(crate) fn waiters(&self) -> &Waiters {
        &self.shared.waiters
    }

    pub(crate) fn herald(&self) -> &Herald {
        &self.shared.herald
    }

    pub(crate) fn bell(&self) -> &Bell {
        &self.shared.bell
    }

    /// Whether whoever waits is to be answered now.
    pub(crate) fn is_stopping(&self) -> bool {
        self.shared.stopping.is_cancelled()
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.shared.clock.now_unix_ms())
    }
}
