//! Which accounts have code: contract wallets, and accounts that EIP-7702 gave some.

use std::collections::HashSet;

use alloy_primitives::{Address, Bytes, U256, hex};
use serde_json::json;

use crate::{ChainError, Node};

/// A program that runs as if it deployed a contract, whose code would be the sizes of the code of
/// the accounts that are written behind it, one word each. So one call asks about any number of
/// accounts, on any network, without a contract for it.
///
/// ```text
/// 00  6020 38 03            size := codesize - 32
/// 04  80 6020 5f 39         codecopy(0, 32, size)
/// 09  5f                    at := 0
/// 0a  5b 81 81 10 6014 57   while at < size, go to 14
/// 11  50 5f f3              return(0, size)
/// 14  5b 80 51 3b 81 52     mstore(at, extcodesize(mload(at)))
/// 1a  6020 01 600a 56       at := at + 32, go to 0a
/// ```
const CODE_SIZES: [u8; 32] =
    hex!("602038038060205f395f5b81811060145750 5ff35b80513b8152602001600a56");

/// Bytes of a word of the virtual machine.
const WORD: usize = 32;

impl Node {
    /// Those of the accounts that have code now: one call for all of them.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say.
    pub async fn with_code(&self, accounts: &[Address]) -> Result<HashSet<Address>, ChainError> {
        let mut program = CODE_SIZES.to_vec();
        for account in accounts {
            program.extend_from_slice(account.into_word().as_slice());
        }
        let call = json!({ "input": Bytes::from(program) });
        let sizes: Bytes = self.ask("eth_call", (call, "latest")).await?;
        if sizes.len() != accounts.len().saturating_mul(WORD) {
            return Err(ChainError::Unreadable("sizes of code".to_owned()));
        }
        let sizes = sizes.chunks_exact(WORD).map(U256::from_be_slice);
        let with_code = accounts.iter().zip(sizes).filter(|(_, size)| !size.is_zero());
        Ok(with_code.map(|(account, _)| *account).collect())
    }
}
