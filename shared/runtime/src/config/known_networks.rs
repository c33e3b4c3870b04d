//! The networks that need not be described: their tokens, and what else is known of them.

use toml::{Table, Value};

/// The built-in networks, in the form of the configuration.
const KNOWN: &str = include_str!("../../networks.default.toml");

/// Gives each network of the configuration what it leaves out and is known; what it says stays.
pub(super) fn complete(networks: &mut Value) {
    let Some(networks) = networks.as_array_mut() else { return };
    let known = known();
    for network in networks.iter_mut().filter_map(Value::as_table_mut) {
        let same = |known: &&Table| known.get("chain_id") == network.get("chain_id");
        let Some(known) = known.iter().find(same) else { continue };
        for (key, value) in known {
            network.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// Whether a token of this network is built in.
pub(super) fn has_assets(chain_id: u64) -> bool {
    let is_it = |known: &Table| {
        let id = known.get("chain_id").and_then(Value::as_integer);
        id.and_then(|id| u64::try_from(id).ok()) == Some(chain_id)
    };
    known().iter().any(|known| is_it(known) && known.contains_key("assets"))
}

fn known() -> Vec<Table> {
    let mut known: Table = KNOWN.parse().expect("the built-in networks are valid TOML");
    let networks = known.remove("networks").and_then(|networks| networks.try_into().ok());
    networks.expect("the built-in networks are a list of tables")
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;

    use super::*;
    use crate::config::NetworkConfig;

    /// Every built-in network as it is where the configuration names nothing but the required settings.
    fn networks() -> Vec<NetworkConfig> {
        let ids = known().into_iter().map(|known| known["chain_id"].clone());
        let url = || Value::from(vec!["https://rpc.example"]);
        let bare = ids.map(|id| {
            Value::Table(Table::from_iter([
                ("chain_id".to_owned(), id),
                ("rpc_urls".to_owned(), url()),
            ]))
        });
        let mut networks = Value::Array(bare.collect());
        complete(&mut networks);
        networks.try_into().unwrap()
    }

    #[test]
    fn every_token_of_the_reference_implementation_is_built_in() {
        let tokens = networks().into_iter().flat_map(|network| {
            let chain = network.chain_id;
            network.assets.into_iter().map(move |asset| {
                let (address, decimals) = (asset.address.as_str().to_owned(), asset.decimals);
                (chain, address, format!("{}/{}", asset.name, asset.version), decimals)
            })
        });
        let mut tokens: Vec<_> = tokens.collect();
        tokens.sort();
        let expected = [
            (1, "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "USD Coin/2", 6),
            (14, "0xe7cd86e13AC4309349F30B3435a9d337750fC82D", "USD₮0/1", 6),
            (50, "0xfA2958CB79b0491CC627c1557F441eF849Ca8eb1", "USDC/2", 6),
            (51, "0xb5AB69F7bBada22B28e79C8FFAECe55eF1c771D4", "USDC/2", 6),
            (137, "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359", "USD Coin/2", 6),
            (143, "0x754704Bc059F8C67012fEd69BC8A327a5aafb603", "USDC/2", 6),
            (988, "0x779Ded0c9e1022225f8E0630b35a9b54bE713736", "USDT0/1", 6),
            (1_328, "0x4fCF1784B31630811181f670Aea7A7bEF803eaED", "USDC/2", 6),
            (1_329, "0xe15fC38F6D8c56aF07bbCBe3BAf5708A2Bf42392", "USDC/2", 6),
            (2_201, "0x78Cf24370174180738C5B8E352B6D14c83a6c9A9", "USDT0/1", 6),
            (4_326, "0xFAfDdbb3FC7688494971a79cc65DCa3EF82079E7", "MegaUSD/1", 18),
            (8_453, "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "USD Coin/2", 6),
            (42_161, "0xaf88d065e77c8cC2239327C5EDb3A432268e5831", "USD Coin/2", 6),
            (42_220, "0xcebA9300f2b948710d2653dD7B07f33A8B32118C", "USDC/2", 6),
            (43_114, "0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E", "USD Coin/2", 6),
            (84_532, "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "USDC/2", 6),
            (421_614, "0x75faf114eafb1BDbe2F0316DF893fd58CE46AA4d", "USD Coin/2", 6),
            (11_142_220, "0x01C5C0122039549AD1493B8220cABEdD739BC44E", "USDC/2", 6),
        ];
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(chain, address, domain, decimals)| {
                (chain, address.to_owned(), domain.to_owned(), decimals)
            })
            .collect();
        assert_eq!(tokens, expected);
    }

    #[test]
    fn no_network_is_built_in_twice() {
        let mut ids: Vec<u64> = networks().iter().map(|network| network.chain_id).collect();
        ids.sort_unstable();
        let all = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }

    #[test]
    fn every_address_is_the_one_that_its_checksum_says() {
        for asset in networks().iter().flat_map(|network| &network.assets) {
            let address = asset.address.as_str();
            assert!(Address::parse_checksummed(address, None).is_ok(), "{address}");
        }
    }

    #[test]
    fn tokens_are_built_in_for_some_networks_and_for_others_not() {
        assert_eq!([8_453, 11_155_111, 31_337].map(has_assets), [true, false, false]);
    }
}
