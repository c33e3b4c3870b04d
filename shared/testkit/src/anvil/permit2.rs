//! What payers do with Permit2.

use alloy_sol_types::{SolCall, sol};
use domain::{Address, Amount, B256, PERMIT2, U256};

use super::Anvil;

sol! {
    function approve(address spender, uint256 value) external returns (bool);
    function invalidateUnorderedNonces(uint256 wordPos, uint256 mask) external;
}

impl Anvil {
    /// Has an account let Permit2 move this much of its test USDC; makes a block.
    pub async fn let_permit2_move(&self, owner: Address, amount: impl Into<Amount>) {
        let call = approveCall { spender: PERMIT2, value: amount.into().units() };
        self.transact_by(owner, Self::TOKEN, &call.abi_encode()).await;
    }

    /// Has an account make a nonce unusable with Permit2; makes a block.
    pub async fn invalidate_permit2_nonce(&self, owner: Address, nonce: B256) {
        let nonce = U256::from_be_bytes(nonce.0);
        let mask = U256::from(1) << (nonce & U256::from(0xff));
        let call = invalidateUnorderedNoncesCall { wordPos: nonce >> 8_usize, mask };
        self.transact_by(owner, PERMIT2, &call.abi_encode()).await;
    }
}
