//! The signers whose transactions make payments up to an amount: each of those is bound to one.

use std::sync::Arc;
use std::time::Duration;

use domain::{Address, ChainId};
use store::{SignerRow, Store, StoreError};
use tokio::sync::Mutex;
use tokio::time::Instant;
use x402::Checked;

use super::Facilitator;

/// For how long what was read is taken for true: a signer is paused, or comes, hardly ever.
const FRESH: Duration = Duration::from_secs(1);

/// What is said of a payment that is bound to an address of others.
pub(super) const STRANGE: &str = "The payment is bound to an address that is none of this facilitator's \
    signers on the network";

/// Knows the signers of every network, as the ledger has them.
#[derive(Debug)]
pub(super) struct Senders {
    store: Store,
    /// Held while it is read, so that many who ask at once read it once.
    known: Mutex<Option<Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    signers: Arc<[Sender]>,
    read_at: Instant,
}

/// A signer, as far as its payments are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sender {
    chain: ChainId,
    address: Address,
    is_paused: bool,
}

/// Whether a payment that is bound to an address can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The address is one of our signers, and takes new work.
    Works,
    /// It is one of our signers, and an operator has taken it out of use.
    Paused,
    /// It is none of our signers on this network.
    Strange,
}

impl Senders {
    pub(super) fn new(store: Store) -> Self {
        Self { store, known: Mutex::default() }
    }

    /// How an address stands on a network.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger has never answered.
    pub(super) async fn standing(
        &self,
        chain: ChainId,
        address: Address,
    ) -> Result<Standing, StoreError> {
        let signers = self.signers().await?;
        let found = signers.iter().find(|it| it.chain == chain && it.address == address);
        Ok(match found {
            Some(Sender { is_paused: true, .. }) => Standing::Paused,
            Some(_) => Standing::Works,
            None => Standing::Strange,
        })
    }

    /// The signers that servers are told of as those that buyers bind their payments to, one for each
    /// network that has any.
    ///
    /// # Errors
    /// As [`Senders::standing`].
    pub(super) async fn advertised(&self) -> Result<Vec<(ChainId, Address)>, StoreError> {
        Ok(advertised(&self.signers().await?))
    }

    async fn signers(&self) -> Result<Arc<[Sender]>, StoreError> {
        let mut known = self.known.lock().await;
        if let Some(known) = &*known
            && known.read_at.elapsed() < FRESH
        {
            return Ok(Arc::clone(&known.signers));
        }
        match self.store.list_signers().await {
            Ok(rows) => {
                let signers: Arc<[Sender]> = rows.iter().map(Sender::from).collect();
                *known = Some(Known { signers: Arc::clone(&signers), read_at: Instant::now() });
                Ok(signers)
            }
            Err(error) => match &*known {
                Some(known) => {
                    tracing::warn!(%error, "signers could not be read; those of before count");
                    Ok(Arc::clone(&known.signers))
                }
                None => Err(error),
            },
        }
    }
}

impl Facilitator {
    /// How the one stands who alone can make a payment; where anybody can, our signers do.
    ///
    /// # Errors
    /// As [`Senders::standing`].
    pub(super) async fn sender(&self, checked: &Checked) -> Result<Standing, StoreError> {
        let authorization = &checked.authorization;
        match authorization.method.sender() {
            Some(sender) => self.0.senders.standing(authorization.chain, sender).await,
            None => Ok(Standing::Works),
        }
    }
}

impl From<&SignerRow> for Sender {
    fn from(row: &SignerRow) -> Self {
        let SignerRow { chain, address, paused_reason, .. } = row;
        Self { chain: *chain, address: *address, is_paused: paused_reason.is_some() }
    }
}

/// The first of each network that takes new work, in the order in which they were registered, which is
/// that of the configuration. Servers ask once and keep the answer, so that one which changed with the
/// load would spread nothing; it changes only when a signer is paused.
fn advertised(signers: &[Sender]) -> Vec<(ChainId, Address)> {
    let mut advertised: Vec<(ChainId, Address)> = Vec::new();
    for sender in signers.iter().filter(|sender| !sender.is_paused) {
        if advertised.iter().all(|(chain, _)| *chain != sender.chain) {
            advertised.push((sender.chain, sender.address));
        }
    }
    advertised
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(chain: u64, address: u8, is_paused: bool) -> Sender {
        let chain = ChainId::new(chain).unwrap();
        Sender { chain, address: Address::repeat_byte(address), is_paused }
    }

    #[test]
    fn the_first_signer_of_a_network_that_works_is_advertised() {
        let expected = |all: &[(u64, u8)]| -> Vec<(ChainId, Address)> {
            let one = |&(chain, address)| {
                (sender(chain, address, false).chain, Address::repeat_byte(address))
            };
            all.iter().map(one).collect()
        };
        for (signers, told) in [
            (vec![], vec![]),
            (vec![sender(1, 1, false), sender(1, 2, false)], vec![(1, 1)]),
            (vec![sender(1, 1, true), sender(1, 2, false)], vec![(1, 2)]),
            (vec![sender(1, 1, true)], vec![]),
            (
                vec![sender(2, 1, false), sender(1, 2, true), sender(1, 3, false)],
                vec![(2, 1), (1, 3)],
            ),
        ] {
            assert_eq!(advertised(&signers), expected(&told), "{signers:?}");
        }
    }
}
