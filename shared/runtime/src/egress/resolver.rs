//! Name look-ups whose answers are judged before they are dialled.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use super::target::Targets;

/// The most look-ups under way at once; each holds a thread while it lasts.
const MAX_LOOKUPS: usize = 256;

/// The most addresses of one name that are looked at; further ones are neither judged nor dialled.
const MAX_ADDRESSES: usize = 64;

/// The name has no address, or its servers give no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host's name cannot be resolved")]
pub(super) struct LookupFailed;

/// Refuses a name as soon as one of its addresses is not public.
pub(super) struct FilteringResolver {
    inner: Arc<dyn Resolve>,
    targets: Targets,
}

impl FilteringResolver {
    pub(super) fn new(inner: Arc<dyn Resolve>, targets: Targets) -> Self {
        Self { inner, targets }
    }
}

impl Resolve for FilteringResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (answer, targets) = (self.inner.resolve(name), self.targets);
        Box::pin(async move {
            let addresses: Vec<SocketAddr> =
                answer.await.map_err(|_| LookupFailed)?.take(MAX_ADDRESSES).collect();
            if addresses.is_empty() {
                return Err(LookupFailed.into());
            }
            for address in &addresses {
                targets.check_address(address.ip())?;
            }
            let dialled: Addrs = Box::new(addresses.into_iter());
            Ok(dialled)
        })
    }
}

/// The operating system's resolver.
pub(super) struct SystemResolver {
    slots: Arc<Semaphore>,
}

impl SystemResolver {
    pub(super) fn new() -> Self {
        Self { slots: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let slots = Arc::clone(&self.slots);
        Box::pin(async move {
            let slot = slots.acquire_owned().await?;
            // The slot stays taken until the thread is free again, even when nobody waits for the answer any more.
            let lookup = tokio::task::spawn_blocking(move || {
                let found = (name.as_str(), 0).to_socket_addrs();
                drop(slot);
                found
            });
            let addresses: Addrs = Box::new(lookup.await??);
            Ok(addresses)
        })
    }
}
