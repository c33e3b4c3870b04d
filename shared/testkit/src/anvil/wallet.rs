//! Accounts with code, which answer for their signatures themselves (EIP-1271, EIP-7702).

use alloy::primitives::{Bytes, keccak256};
use alloy_sol_types::{SolCall, sol};
use domain::{Address, B256, Signature, U256};
use serde_json::json;
use x402::WrappedSignature;

use super::Anvil;

/// The code of the test wallet.
const ARTEFACT: &str = include_str!("../../../../contracts/artifacts/TestWallet.json");

/// The code of a wallet that says yes to every signature: it returns the word that begins with
/// EIP-1271's answer.
const EASY_WALLET: [u8; 14] = [
    0x63, 0x16, 0x26, 0xba, 0x7e, // push the answer
    0x60, 0xe0, 0x1b, // move it to the word's beginning
    0x5f, 0x52, // to memory
    0x60, 0x20, 0x5f, 0xf3, // return a word
];

/// What deploys it: returns its code, which stands behind these bytes.
const EASY_WALLET_INIT: [u8; 10] = [
    0x60, 14, 0x80, 0x60, 0x0a, 0x5f, 0x39, // copy the 14 bytes from 10 on
    0x5f, 0xf3, 0x00, // return them
];

/// What EIP-7702 writes in front of a delegate's address.
const DELEGATION: [u8; 3] = [0xef, 0x01, 0x00];

sol! {
    function initialize(address newOwner) external;
    function setBehaviour(uint8 newBehaviour, uint256 burn) external;
}

/// How a wallet answers when it is asked about a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalletBehaviour {
    /// Valid when its owner signed.
    Honest,
    /// The opposite.
    Flipped,
    /// The opposite of honest in every other block.
    FlippedInOddBlocks,
    /// With a revert.
    Reverts,
    /// With yes, and a hundred thousand bytes behind that.
    AnswersAtLength,
    /// Not at all, after using up all the gas there is.
    BurnsGas,
}

impl Anvil {
    /// Gives this account, which goes on signing for itself, an honest wallet's code; makes a
    /// block.
    pub async fn make_wallet(&self, account: Address) {
        self.make_wallet_of(account, account).await;
    }

    /// Puts an honest wallet that belongs to `owner` at an address; makes a block.
    pub async fn make_wallet_of(&self, owner: Address, wallet: Address) {
        let artefact: serde_json::Value = serde_json::from_str(ARTEFACT).unwrap();
        self.rpc("anvil_setCode", json!([wallet, artefact["runtimeBytecode"]])).await;
        self.transact(wallet, &initializeCall { newOwner: owner }.abi_encode()).await;
    }

    /// Puts a wallet that says yes to every signature, whatever its length, at an address.
    pub async fn make_easy_wallet(&self, wallet: Address) {
        let code = Bytes::from_static(&EASY_WALLET);
        self.rpc("anvil_setCode", json!([wallet, code])).await;
    }

    /// Makes an account run the code of a wallet that stands elsewhere (EIP-7702), as a wallet
    /// that belongs to `owner`; makes a block.
    pub async fn delegate_to_wallet(&self, account: Address, delegate: Address, owner: Address) {
        self.make_wallet_of(delegate, delegate).await;
        let code = [DELEGATION.as_slice(), delegate.as_slice()].concat();
        self.rpc("anvil_setCode", json!([account, Bytes::from(code)])).await;
        self.transact(account, &initializeCall { newOwner: owner }.abi_encode()).await;
    }

    /// A wallet that says yes to everything and is yet to be deployed by [`Anvil::FACTORY`]: its
    /// address, and a signature of it (ERC-6492).
    pub fn undeployed_wallet(salt: B256) -> (Address, Signature) {
        let init = [EASY_WALLET_INIT.as_slice(), EASY_WALLET.as_slice()].concat();
        let wallet = Self::FACTORY.create2(salt, keccak256(&init));
        let wrapped = WrappedSignature {
            factory: Self::FACTORY,
            factory_call: [salt.as_slice(), init.as_slice()].concat().into(),
            inner: Signature::new(vec![7; 90]),
        };
        (wallet, wrapped.to_signature())
    }

    /// Makes a wallet behave like this from now on; makes a block.
    pub async fn set_wallet_behaviour(&self, wallet: Address, behaviour: WalletBehaviour) {
        let (number, burn) = match behaviour {
            WalletBehaviour::Honest => (0, U256::ZERO),
            WalletBehaviour::Flipped => (1, U256::ZERO),
            WalletBehaviour::FlippedInOddBlocks => (2, U256::ZERO),
            WalletBehaviour::BurnsGas => (3, U256::MAX),
            WalletBehaviour::Reverts => (4, U256::ZERO),
            WalletBehaviour::AnswersAtLength => (5, U256::ZERO),
        };
        let call = setBehaviourCall { newBehaviour: number, burn };
        self.transact(wallet, &call.abi_encode()).await;
    }
}
