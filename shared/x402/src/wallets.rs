//! Whether payers may be contract wallets.

use std::collections::HashSet;

use domain::{Address, ChainId};

/// Whether signatures are taken that only a contract wallet can judge (ERC-1271, ERC-6492).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wallets {
    /// None are: every payer is a key pair.
    #[default]
    Refused,
    /// They are, unproven.
    Taken {
        /// The contracts, each on its network, that may deploy a wallet for its payment.
        factories: HashSet<(ChainId, Address)>,
    },
}

impl Wallets {
    /// Whether this contract may deploy wallets on this network.
    pub(crate) fn may_deploy(&self, chain: ChainId, factory: Address) -> bool {
        match self {
            Self::Refused => false,
            Self::Taken { factories } => factories.contains(&(chain, factory)),
        }
    }
}
