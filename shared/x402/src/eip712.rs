//! What a buyer's wallet signs: EIP-712 over the authorization, of EIP-3009 or for Permit2.

use alloy_primitives::{Keccak256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct, sol};
use domain::{Authorization, B256, TransferMethod};

use crate::{Asset, permit2};

sol! {
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

/// The EIP-712 domain of one token, with its separator computed once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenDomain {
    separator: B256,
}

impl TokenDomain {
    /// The domain of this token: its name, version, network and contract.
    pub fn new(asset: &Asset) -> Self {
        let domain = Eip712Domain {
            name: Some(asset.name.clone().into()),
            version: Some(asset.version.clone().into()),
            chain_id: Some(U256::from(asset.chain.get())),
            verifying_contract: Some(asset.address),
            salt: None,
        };
        Self { separator: domain.separator() }
    }

    /// The domain separator, as the token's `DOMAIN_SEPARATOR()`.
    pub const fn separator(&self) -> B256 {
        self.separator
    }

    /// The digest that the payer signs to give this authorization, which must be one about this
    /// token. Times below zero, which nobody takes, count as zero.
    pub fn digest(&self, authorization: &Authorization) -> B256 {
        match authorization.method {
            TransferMethod::Eip3009 => self.eip3009_digest(authorization),
            TransferMethod::Permit2 { spender } => permit2::digest(authorization, spender),
            TransferMethod::Upto { spender, sender, most } => {
                permit2::upto_digest(authorization, spender, sender, most)
            }
        }
    }

    fn eip3009_digest(&self, authorization: &Authorization) -> B256 {
        let seconds = |at: i64| U256::from(u64::try_from(at).unwrap_or_default());
        let message = TransferWithAuthorization {
            from: authorization.payer,
            to: authorization.pay_to,
            value: authorization.amount.units(),
            validAfter: seconds(authorization.valid_after),
            validBefore: seconds(authorization.valid_before),
            nonce: authorization.nonce,
        };
        let mut hasher = Keccak256::new();
        hasher.update([0x19, 0x01]);
        hasher.update(self.separator);
        hasher.update(message.eip712_hash_struct());
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{address, b256, hex};
    use domain::{Amount, ChainId};

    use super::*;
    use crate::{Methods, PayerSignature};

    /// One row of what `eth_account` 0.14 (Python) computed for the key `0x4242…42`.
    struct Vector {
        asset: Asset,
        authorization: Authorization,
        separator: B256,
        digest: B256,
        signature: [u8; 65],
    }

    fn vectors() -> [Vector; 2] {
        let usdc = Asset {
            chain: ChainId::new(8_453).unwrap(),
            address: address!("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"),
            name: "USD Coin".to_owned(),
            version: "2".to_owned(),
            methods: Methods::EIP3009,
        };
        let tether = Asset {
            chain: ChainId::new(14).unwrap(),
            address: address!("0xe7cd86e13AC4309349F30B3435a9d337750fC82D"),
            name: "USD₮0".to_owned(),
            version: "1".to_owned(),
            methods: Methods::EIP3009,
        };
        let authorization = |asset: &Asset| Authorization {
            method: TransferMethod::Eip3009,
            chain: asset.chain,
            asset: asset.address,
            payer: address!("0x17c5185167401eD00cF5F5b2fc97D9BBfDb7D025"),
            pay_to: address!("0x209693Bc6afc0C5328bA36FaF03C514EF312287C"),
            amount: Amount::from(10_000),
            valid_after: 0,
            valid_before: 1_772_366_460,
            nonce: b256!("0xf3746613c2d920b5fdabc0856f2aeb2d4f88ee6037b8cc5d04a71a4462f13480"),
        };
        [
            Vector {
                authorization: authorization(&usdc),
                asset: usdc,
                separator: b256!(
                    "0x02fa7265e7c5d81118673727957699e4d68f74cd74b7db77da710fe8a2c7834f"
                ),
                digest: b256!("0x91d491b78814aea98f393cee22dcde06b74899f5410396c8cfe0773a14298ece"),
                signature: hex!(
                    "0a640a01e76efb10c646167e92561bf80c3c491f3e44176411da4af655b47060"
                    "3d3c65add55e7f1e63970bbba6627801df9c5a2739bd71b436616f7c2c7a8ea0"
                    "1c"
                ),
            },
            Vector {
                authorization: Authorization {
                    amount: Amount::new(U256::MAX),
                    valid_after: 1,
                    valid_before: i64::MAX,
                    nonce: B256::repeat_byte(0xff),
                    ..authorization(&tether)
                },
                asset: tether,
                separator: b256!(
                    "0x4c53d754dcb2f406ecf83695856d8c10b13296a318d9a481043412bf253d43ae"
                ),
                digest: b256!("0x83d1866376be8bd0bdfa595f79389c61be5240c7d1661ccb91cd9f9b0b86c4b3"),
                signature: hex!(
                    "aa5da3dcf050792e22a08f3e2a3a61e59e3eb2177ba6394c1e0d9f3d037d37f8"
                    "3b24a32dd60aaa21fd454e88ef740c99c3f3a25f5e5a829f85530a2d0075f2c9"
                    "1c"
                ),
            },
        ]
    }

    #[test]
    fn the_type_hash_is_the_constant_of_eip_3009() {
        let message = TransferWithAuthorization {
            from: Default::default(),
            to: Default::default(),
            value: U256::ZERO,
            validAfter: U256::ZERO,
            validBefore: U256::ZERO,
            nonce: B256::ZERO,
        };
        assert_eq!(
            message.eip712_type_hash(),
            b256!("0x7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267")
        );
    }

    #[test]
    fn separators_and_digests_are_those_of_another_implementation() {
        for vector in vectors() {
            let domain = TokenDomain::new(&vector.asset);
            assert_eq!(domain.separator(), vector.separator);
            assert_eq!(domain.digest(&vector.authorization), vector.digest);
        }
    }

    #[test]
    fn signatures_of_another_implementation_are_the_payers() {
        for vector in vectors() {
            let signature = PayerSignature::parse(&vector.signature).unwrap();
            assert_eq!(signature.signer(vector.digest), Some(vector.authorization.payer));
        }
    }
}
