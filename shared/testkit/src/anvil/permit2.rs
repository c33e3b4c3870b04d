//! What payers do with Permit2.

use alloy_sol_types::{SolCall, sol};
use domain::{Address, Amount, B256, PERMIT2, U256};

use super::Anvil;
use crate::SignedAuthorization;

sol! {
    function approve(address spender, uint256 value) external returns (bool);
    function allowance(address owner, address spender) external view returns (uint256);
    function nonces(address owner) external view returns (uint256);
    function permit(
        address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s
    ) external;
    function invalidateUnorderedNonces(uint256 wordPos, uint256 mask) external;
}

impl Anvil {
    /// Has an account let Permit2 move this much of its test USDC; makes a block.
    pub async fn let_permit2_move(&self, owner: Address, amount: impl Into<Amount>) {
        let call = approveCall { spender: PERMIT2, value: amount.into().units() };
        self.transact_by(owner, Self::TOKEN, &call.abi_encode()).await;
    }

    /// How much of its test USDC an account lets Permit2 move.
    pub async fn permit2_may_move(&self, owner: Address) -> Amount {
        let call = allowanceCall { owner, spender: PERMIT2 };
        let answer = self.call(Self::TOKEN, &call.abi_encode()).await;
        Amount::new(allowanceCall::abi_decode_returns(&answer).unwrap())
    }

    /// How many permits of an account the test USDC has taken.
    pub async fn permits_of(&self, owner: Address) -> U256 {
        let answer = self.call(Self::TOKEN, &noncesCall { owner }.abi_encode()).await;
        noncesCall::abi_decode_returns(&answer).unwrap()
    }

    /// Hands somebody's permit to the token, as anybody may who has seen it; makes a block.
    ///
    /// # Panics
    /// When there is none, or the token does not take it.
    pub async fn hand_in_permit(&self, signed: &SignedAuthorization) {
        let permit = signed.permit.as_ref().expect("the test has signed a permit");
        let signature = permit.signature.reveal();
        let call = permitCall {
            owner: signed.authorization.payer,
            spender: PERMIT2,
            value: signed.authorization.amount.units(),
            deadline: permit.deadline,
            v: signature[64],
            r: B256::from_slice(&signature[..32]),
            s: B256::from_slice(&signature[32..64]),
        };
        self.transact(Self::TOKEN, &call.abi_encode()).await;
    }

    /// Has an account make a nonce unusable with Permit2; makes a block.
    pub async fn invalidate_permit2_nonce(&self, owner: Address, nonce: B256) {
        let nonce = U256::from_be_bytes(nonce.0);
        let mask = U256::from(1) << (nonce & U256::from(0xff));
        let call = invalidateUnorderedNoncesCall { wordPos: nonce >> 8_usize, mask };
        self.transact_by(owner, PERMIT2, &call.abi_encode()).await;
    }
}
