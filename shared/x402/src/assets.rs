//! The tokens that payments may be made in.

use std::collections::{HashMap, HashSet};

use domain::{Address, ChainId};

use crate::{Methods, TokenDomain, network};

/// A token, as the operator lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// The network it lives on.
    pub chain: ChainId,
    /// The token contract.
    pub address: Address,
    /// `name` of its EIP-712 domain; not always its ERC-20 name.
    pub name: String,
    /// `version` of its EIP-712 domain.
    pub version: String,
    /// By what payments in it may be authorized.
    pub methods: Methods,
}

/// A listed token with what is computed from it once.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) methods: Methods,
    pub(crate) domain: TokenDomain,
}

/// The allow list: the networks that we settle on, and their tokens.
#[derive(Clone, Debug, Default)]
pub struct Assets {
    chains: HashSet<ChainId>,
    listed: HashMap<(ChainId, Address), Listed>,
    /// What version 1 calls networks here and nowhere else.
    names: HashMap<ChainId, String>,
}

impl Assets {
    /// Lists these tokens; the last of two with the same address on the same network counts.
    pub fn new(assets: impl IntoIterator<Item = Asset>) -> Self {
        let mut all = Self::default();
        for asset in assets {
            let domain = TokenDomain::new(&asset);
            let Asset { chain, address, name, version, methods } = asset;
            all.chains.insert(chain);
            all.listed.insert((chain, address), Listed { name, version, methods, domain });
        }
        all
    }

    /// Has version 1 call these networks so, instead of by the names that everybody knows.
    #[must_use]
    pub fn called(mut self, names: impl IntoIterator<Item = (ChainId, String)>) -> Self {
        self.names.extend(names);
        self
    }

    /// What version 1 calls a network here; none for networks that it cannot express.
    pub fn v1_name(&self, chain: ChainId) -> Option<&str> {
        let own = self.names.get(&chain).map(String::as_str);
        own.or_else(|| network::v1_name(chain))
    }

    /// The network that version 1 calls by this name here, if any of its tokens is listed.
    pub(crate) fn by_v1_name(&self, name: &str) -> Option<ChainId> {
        self.chains.iter().copied().find(|chain| self.v1_name(*chain) == Some(name))
    }

    /// Whether any token of this network is listed.
    pub fn serves(&self, chain: ChainId) -> bool {
        self.chains.contains(&chain)
    }

    /// The networks of which any token is listed, in the order of their ids.
    pub fn networks(&self) -> Vec<ChainId> {
        let mut networks: Vec<ChainId> = self.chains.iter().copied().collect();
        networks.sort_unstable();
        networks
    }

    /// Whether any token of this network may be paid in up to an amount (`upto`).
    pub fn takes_upto(&self, chain: ChainId) -> bool {
        let mut listed = self.listed.iter();
        listed.any(|((listed, _), token)| *listed == chain && token.methods.upto.is_some())
    }

    /// Whether Permit2 may be let move any of the tokens by a permit beside the payment (EIP-2612).
    pub fn take_permits(&self) -> bool {
        self.listed.values().any(|token| token.methods.permits)
    }

    /// What a token's authorizations are signed for, if it is listed.
    pub fn domain(&self, chain: ChainId, address: Address) -> Option<&TokenDomain> {
        self.find(chain, address).map(|listed| &listed.domain)
    }

    pub(crate) fn find(&self, chain: ChainId, address: Address) -> Option<&Listed> {
        self.listed.get(&(chain, address))
    }
}
