//! The streams, and the names of their keys in Redis.

use std::fmt;
use std::sync::Arc;

use domain::{Address, ChainId};

/// The one consumer group on every stream.
pub(crate) const GROUP: &str = "workers";

/// Where a job is rung and taken. Streams do not mix: a worker of one never sees another's jobs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Payments to be judged.
    Risk,
    /// Payments to be settled or followed on one network; one stream each, so that the pools
    /// scale per network.
    Settle(Network),
    /// Those of them that one signer alone can make, when a process that does not hold it has heard of
    /// them; one stream for each signer.
    SettleBy(Network, Address),
    /// Webhook deliveries to be made.
    Notify,
}

impl Stream {
    /// The settlement stream of this network.
    pub fn settle(network: impl Into<Network>) -> Self {
        Self::Settle(network.into())
    }

    /// The settlement stream of this signer of a network.
    pub fn settle_by(network: impl Into<Network>, signer: Address) -> Self {
        Self::SettleBy(network.into(), signer)
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Risk => f.write_str("risk"),
            Self::Settle(network) => write!(f, "settle:{network}"),
            Self::SettleBy(network, signer) => write!(f, "settle:{network}:{signer:#x}"),
            Self::Notify => f.write_str("notify"),
        }
    }
}

/// A network by its CAIP-2 name, such as `eip155:8453`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Network(Arc<str>);

/// Text that is not a CAIP-2 chain id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a CAIP-2 network of the form namespace:reference")]
pub struct InvalidNetwork;

impl Network {
    /// The name as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Network {
    type Error = InvalidNetwork;

    /// Takes exactly what CAIP-2 allows. That leaves out braces, which would break the hash tag.
    fn try_from(text: &str) -> Result<Self, InvalidNetwork> {
        let (namespace, reference) = text.split_once(':').ok_or(InvalidNetwork)?;
        let namespace_fits = (3..=8).contains(&namespace.len())
            && namespace.bytes().all(|byte| matches!(byte, b'-' | b'a'..=b'z' | b'0'..=b'9'));
        let reference_fits = (1..=32).contains(&reference.len())
            && reference
                .bytes()
                .all(|byte| matches!(byte, b'-' | b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'));
        if namespace_fits && reference_fits { Ok(Self(text.into())) } else { Err(InvalidNetwork) }
    }
}

impl From<ChainId> for Network {
    fn from(chain: ChainId) -> Self {
        Self(chain.to_string().into())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The names of one stream's keys. Both carry the same hash tag and so share a cluster slot.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// The stream of waiting and running jobs.
    pub(crate) stream: Arc<str>,
    /// The stream of entries that were given up.
    pub(crate) dead: Arc<str>,
}

impl Keys {
    pub(crate) fn new(prefix: &str, stream: &Stream) -> Self {
        let tag = format!("{{{prefix}q:{stream}}}");
        Self { dead: format!("{tag}:dead").into(), stream: tag.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_documented_ones() {
        let base = Stream::settle(Network::try_from("eip155:8453").unwrap());
        let keys = Keys::new("acme:", &base);
        assert_eq!(&*keys.stream, "{acme:q:settle:eip155:8453}");
        assert_eq!(&*keys.dead, "{acme:q:settle:eip155:8453}:dead");
        assert_eq!(&*Keys::new("", &Stream::Risk).stream, "{q:risk}");
        let base = Network::try_from("eip155:8453").unwrap();
        let of_one = Stream::settle_by(base, Address::repeat_byte(0xab));
        let key = format!("{{q:settle:eip155:8453:0x{}}}", "ab".repeat(20));
        assert_eq!(&*Keys::new("", &of_one).stream, key);
    }

    #[test]
    fn a_network_is_what_caip_2_allows() {
        for good in ["eip155:1", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"] {
            assert!(Network::try_from(good).is_ok(), "{good}");
        }
        for bad in ["", "base", "eip155:", "eip155:{1}", "EIP155:1", "eip155:1:2"] {
            assert_eq!(Network::try_from(bad), Err(InvalidNetwork), "{bad}");
        }
    }

    #[test]
    fn a_chain_id_is_a_network() {
        let chain = ChainId::new(8453).unwrap();
        assert_eq!(Network::from(chain).as_str(), "eip155:8453");
    }
}
