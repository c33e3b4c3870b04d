//! Accounts with code, which answer for their signatures themselves (EIP-1271, EIP-7702).

use alloy_sol_types::{SolCall, sol};
use domain::{Address, U256};
use serde_json::json;

use super::Anvil;

/// The code of the test wallet.
const ARTEFACT: &str = include_str!("../../../../contracts/artifacts/TestWallet.json");

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
    /// Not at all, after using up all the gas there is.
    BurnsGas,
}

impl Anvil {
    /// Gives this account, which goes on signing for itself, an honest wallet's code; makes a
    /// block.
    pub async fn make_wallet(&self, account: Address) {
        let artefact: serde_json::Value = serde_json::from_str(ARTEFACT).unwrap();
        self.rpc("anvil_setCode", json!([account, artefact["runtimeBytecode"]])).await;
        self.transact(account, &initializeCall { newOwner: account }.abi_encode()).await;
    }

    /// Makes a wallet behave like this from now on; makes a block.
    pub async fn set_wallet_behaviour(&self, wallet: Address, behaviour: WalletBehaviour) {
        let (number, burn) = match behaviour {
            WalletBehaviour::Honest => (0, U256::ZERO),
            WalletBehaviour::Flipped => (1, U256::ZERO),
            WalletBehaviour::BurnsGas => (3, U256::MAX),
        };
        let call = setBehaviourCall { newBehaviour: number, burn };
        self.transact(wallet, &call.abi_encode()).await;
    }
}
