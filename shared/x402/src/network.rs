//! How each version of the protocol writes an EVM network.

use domain::ChainId;

use crate::{Assets, Version};

/// The names of version 1, as in the reference implementation (`@x402/evm` 2.27.0, `v1`).
const V1_NAMES: [(&str, u64); 23] = [
    ("ethereum", 1),
    ("sepolia", 11_155_111),
    ("base", 8_453),
    ("base-sepolia", 84_532),
    ("polygon", 137),
    ("polygon-amoy", 80_002),
    ("avalanche", 43_114),
    ("avalanche-fuji", 43_113),
    ("abstract", 2_741),
    ("abstract-testnet", 11_124),
    ("iotex", 4_689),
    ("sei", 1_329),
    ("sei-testnet", 1_328),
    ("peaq", 3_338),
    ("story", 1_514),
    ("educhain", 41_923),
    ("skale-base-sepolia", 324_705_682),
    ("megaeth", 4_326),
    ("monad", 143),
    ("stable", 988),
    ("stable-testnet", 2_201),
    ("celo", 42_220),
    ("flare", 14),
];

/// The network that everybody calls by this name in version 1.
pub fn from_v1_name(name: &str) -> Option<ChainId> {
    V1_NAMES.iter().find(|(known, _)| *known == name).and_then(|(_, id)| ChainId::new(*id))
}

/// The name by which everybody knows a network in version 1; none for networks that have none.
pub fn v1_name(chain: ChainId) -> Option<&'static str> {
    V1_NAMES.iter().find(|(_, id)| *id == chain.get()).map(|(name, _)| *name)
}

/// The network that this version writes as `text`: a name in version 1, CAIP-2 in version 2.
pub(crate) fn parse(version: Version, text: &str, assets: &Assets) -> Option<ChainId> {
    match version {
        Version::V1 => assets.by_v1_name(text),
        Version::V2 => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use domain::Address;

    use super::*;
    use crate::{Asset, Methods};

    #[test]
    fn every_name_of_version_1_reads_back_as_it_was_written() {
        for (name, id) in V1_NAMES {
            let chain = from_v1_name(name).unwrap();
            assert_eq!((chain.get(), v1_name(chain)), (id, Some(name)));
        }
    }

    fn listed(chains: &[u64]) -> Assets {
        let asset = |id: &u64| Asset {
            chain: ChainId::new(*id).unwrap(),
            address: Address::repeat_byte(1),
            name: "USDC".to_owned(),
            version: "2".to_owned(),
            methods: Methods::EIP3009,
        };
        Assets::new(chains.iter().map(asset))
    }

    #[test]
    fn neither_version_reads_the_other_ones_networks() {
        let assets = listed(&[8_453]);
        assert_eq!(parse(Version::V1, "eip155:8453", &assets), None);
        assert_eq!(parse(Version::V2, "base", &assets), None);
        let base = ChainId::new(8_453);
        assert_eq!(parse(Version::V1, "base", &assets), base);
        assert_eq!(parse(Version::V2, "eip155:8453", &assets), base);
    }

    #[test]
    fn a_network_that_is_called_otherwise_has_that_name_and_no_other() {
        let [base, local] = [8_453, 31_337].map(|id| ChainId::new(id).unwrap());
        let names = [(base, "basic".to_owned()), (local, "local".to_owned())];
        let assets = listed(&[8_453, 31_337]).called(names);
        for (name, chain) in [("basic", Some(base)), ("local", Some(local)), ("base", None)] {
            assert_eq!(parse(Version::V1, name, &assets), chain, "{name}");
        }
        assert_eq!((assets.v1_name(base), assets.v1_name(local)), (Some("basic"), Some("local")));
    }

    #[test]
    fn a_local_chain_has_no_name_in_version_1() {
        assert_eq!(v1_name(ChainId::new(31_337).unwrap()), None);
    }
}
