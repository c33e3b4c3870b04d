//! What the handlers share.

use std::sync::Arc;
use std::time::Duration;

use access::{ApiKeys, PollTokens};
use domain::{PaymentId, Timestamp};
use queue::{Bell, Job, Queue, Stream};
use runtime::{Clock, TraceContext};
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::Settings;
use crate::door::Door;
use crate::intake::Register;

/// How long a stopping process waits for Redis to take the last rings; lost ones ring again.
const LAST_RINGS: Duration = Duration::from_secs(2);

/// The payment API's state. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    keys: ApiKeys,
    poll_tokens: PollTokens,
    door: Door,
    register: Register,
    bell: Bell,
    clock: Clock,
}

impl App {
    /// Puts the parts together. Must be called within a tokio runtime: the task that gathers
    /// submissions into commits starts here.
    pub fn new(settings: Settings, store: Store, bell: Bell, clock: Clock) -> Self {
        let door = Door::new(settings.max_in_flight, settings.max_backlog);
        let register = Register::open(store.clone(), settings.max_batch);
        let keys = ApiKeys::new(store.clone(), clock.clone());
        let poll_tokens = PollTokens::new(store);
        let shared = Shared { settings, keys, poll_tokens, door, register, bell, clock };
        Self { shared: Arc::new(shared) }
    }

    /// Takes nothing while more payments wait in these streams than may, until `shutdown`.
    pub async fn heed_backlog(
        &self,
        queue: Queue,
        streams: Vec<Stream>,
        shutdown: CancellationToken,
    ) {
        self.door().clone().watch(queue, streams, shutdown).await;
    }

    /// Waits until everything taken so far is committed and, if Redis is there, rung for. To be
    /// called when no request is under way any more; later ones are refused.
    pub async fn finish(&self) {
        self.shared.register.close().await;
        if !self.shared.bell.flush(LAST_RINGS).await {
            tracing::warn!("the last rings were not taken; the reconciler will ring again");
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    pub(crate) fn poll_tokens(&self) -> &PollTokens {
        &self.shared.poll_tokens
    }

    /// Who may submit.
    pub fn keys(&self) -> &ApiKeys {
        &self.shared.keys
    }

    pub(crate) fn door(&self) -> &Door {
        &self.shared.door
    }

    pub(crate) fn register(&self) -> &Register {
        &self.shared.register
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.shared.clock.now_unix_ms())
    }

    /// Tells the risk workers of a new payment, best effort: what gets lost is due in the ledger.
    pub(crate) fn ring(&self, payment: PaymentId, trace: &TraceContext) {
        let job = Job::new(payment.to_string()).with_traceparent(Some(trace.to_string()));
        self.shared.bell.ring(&Stream::Risk, job);
    }
}
