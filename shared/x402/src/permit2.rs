//! What a buyer's wallet signs for Permit2: EIP-712 over `PermitWitnessTransferFrom`, whose witness
//! is the one of x402's proxy for `exact` (x402 specification, scheme `exact` on EVM).

use alloy_primitives::{Address, Keccak256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct, sol};
use domain::{Authorization, B256, PERMIT2};

sol! {
    struct TokenPermissions {
        address token;
        uint256 amount;
    }

    struct Witness {
        address to;
        uint256 validAfter;
    }

    struct PermitWitnessTransferFrom {
        TokenPermissions permitted;
        address spender;
        uint256 nonce;
        uint256 deadline;
        Witness witness;
    }
}

/// The digest that the payer signs to let this spender redeem this authorization.
pub(crate) fn digest(authorization: &Authorization, spender: Address) -> B256 {
    let seconds = |at: i64| U256::from(u64::try_from(at).unwrap_or_default());
    let message = PermitWitnessTransferFrom {
        permitted: TokenPermissions {
            token: authorization.asset,
            amount: authorization.amount.units(),
        },
        spender,
        nonce: authorization.nonce.into(),
        deadline: seconds(deadline(authorization)),
        witness: Witness {
            to: authorization.pay_to,
            validAfter: seconds(authorization.valid_after),
        },
    };
    let domain = Eip712Domain {
        name: Some("Permit2".into()),
        version: None,
        chain_id: Some(U256::from(authorization.chain.get())),
        verifying_contract: Some(PERMIT2),
        salt: None,
    };
    let mut hasher = Keccak256::new();
    hasher.update([0x19, 0x01]);
    hasher.update(domain.separator());
    hasher.update(message.eip712_hash_struct());
    hasher.finalize()
}

/// The last second at which Permit2 takes it.
const fn deadline(authorization: &Authorization) -> i64 {
    authorization.valid_before.saturating_sub(1)
}
