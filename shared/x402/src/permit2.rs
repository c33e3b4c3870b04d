//! What a buyer's wallet signs for Permit2: EIP-712 over `PermitWitnessTransferFrom`, whose witness
//! is the one of x402's proxy for `exact` or for `upto` (x402 specification, both schemes on EVM).

use alloy_primitives::{Address, Keccak256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct, sol};
use domain::{Amount, Authorization, B256, PERMIT2};

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

/// With the witness of `upto`, whose type has the same name.
mod upto {
    use super::{TokenPermissions, sol};

    sol! {
        struct Witness {
            address to;
            address facilitator;
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
}

/// The digest that the payer signs to let this spender redeem this authorization.
pub(crate) fn digest(authorization: &Authorization, spender: Address) -> B256 {
    let message = PermitWitnessTransferFrom {
        permitted: permitted(authorization, authorization.amount),
        spender,
        nonce: authorization.nonce.into(),
        deadline: seconds(deadline(authorization)),
        witness: Witness {
            to: authorization.pay_to,
            validAfter: seconds(authorization.valid_after),
        },
    };
    typed(authorization, message.eip712_hash_struct())
}

/// The same where the amount is left open up to a bound, for this sender to name.
pub(crate) fn upto_digest(
    authorization: &Authorization,
    spender: Address,
    sender: Address,
    most: Amount,
) -> B256 {
    let message = upto::PermitWitnessTransferFrom {
        permitted: permitted(authorization, most),
        spender,
        nonce: authorization.nonce.into(),
        deadline: seconds(deadline(authorization)),
        witness: upto::Witness {
            to: authorization.pay_to,
            facilitator: sender,
            validAfter: seconds(authorization.valid_after),
        },
    };
    typed(authorization, message.eip712_hash_struct())
}

const fn permitted(authorization: &Authorization, amount: Amount) -> TokenPermissions {
    TokenPermissions { token: authorization.asset, amount: amount.units() }
}

fn seconds(at: i64) -> U256 {
    U256::from(u64::try_from(at).unwrap_or_default())
}

/// The digest of a message in the domain of Permit2 on the authorization's network.
fn typed(authorization: &Authorization, message: B256) -> B256 {
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
    hasher.update(message);
    hasher.finalize()
}

/// The last second at which Permit2 takes it.
const fn deadline(authorization: &Authorization) -> i64 {
    authorization.valid_before.saturating_sub(1)
}
