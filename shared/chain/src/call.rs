//! Calls that are tried, and not sent.

use alloy_primitives::{Address, Bytes, U64};
use serde_json::{Value, json};

use crate::{ChainError, Node};

/// A call to be tried.
#[derive(Clone, Copy, Debug)]
pub struct CallRequest<'a> {
    pub(crate) from: Option<Address>,
    pub(crate) to: Address,
    pub(crate) input: &'a Bytes,
    pub(crate) at: &'static str,
    pub(crate) gas: Option<u64>,
}

impl CallRequest<'_> {
    pub(crate) fn to_json(self) -> Value {
        let mut call = json!({ "to": self.to, "input": self.input });
        if let Some(from) = self.from {
            call["from"] = json!(from);
        }
        if let Some(gas) = self.gas {
            call["gas"] = json!(format!("{gas:#x}"));
        }
        call
    }
}

impl Node {
    /// What a call returns when it is made now, without being sent.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] when it would revert, other [`ChainError`]s when the node did not say.
    pub async fn call(&self, call: &CallRequest<'_>) -> Result<Bytes, ChainError> {
        self.ask("eth_call", (call.to_json(), call.at)).await
    }

    /// The gas that a call would use when it is made now.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] when it would revert, other [`ChainError`]s when the node did not say.
    pub async fn estimate_gas(&self, call: &CallRequest<'_>) -> Result<u64, ChainError> {
        let gas: U64 = self.ask("eth_estimateGas", (call.to_json(), call.at)).await?;
        Ok(gas.to())
    }
}
