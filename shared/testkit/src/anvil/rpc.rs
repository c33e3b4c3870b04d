//! JSON-RPC, spoken plainly: tests judge the chain by other code than the product's.

use serde_json::{Value, json};

use super::Anvil;

/// The node's refusal of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError {
    /// The code of JSON-RPC or of the node.
    pub code: i64,
    /// What the node says.
    pub message: String,
}

impl Anvil {
    /// The result of a method.
    ///
    /// # Panics
    /// When the node refuses or does not answer.
    pub async fn rpc(&self, method: &str, params: Value) -> Value {
        self.try_rpc(method, params)
            .await
            .unwrap_or_else(|error| panic!("{method}: {} ({})", error.message, error.code))
    }

    /// The result of a method, or the node's refusal.
    ///
    /// # Errors
    /// [`RpcError`] when the node refuses.
    ///
    /// # Panics
    /// When the node does not answer.
    pub async fn try_rpc(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = self.http.post(self.url()).json(&request).send().await;
        let mut answer: Value = answer.unwrap().json().await.unwrap();
        match answer.get("error") {
            Some(error) => Err(RpcError {
                code: error["code"].as_i64().unwrap_or_default(),
                message: error["message"].as_str().unwrap_or_default().to_owned(),
            }),
            None => Ok(answer["result"].take()),
        }
    }
}

/// A quantity as the node writes it: `0x` and hexadecimal digits.
pub(super) fn quantity(value: &Value) -> u64 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    u64::from_str_radix(digits.expect("a quantity of the node begins with 0x"), 16).unwrap()
}
