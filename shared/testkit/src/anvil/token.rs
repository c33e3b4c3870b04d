//! The test USDC: the oracle of every test about money.

use alloy_sol_types::{SolCall, SolEvent, sol};
use domain::{Address, Amount, B256};
use serde_json::{Value, json};

use super::Anvil;
use super::rpc::quantity;

sol! {
    event Transfer(address indexed from, address indexed to, uint256 value);
    function mint(address to, uint256 value) external returns (bool);
    function balanceOf(address account) external view returns (uint256);
    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
    function pause() external;
    function unpause() external;
    function blacklist(address account) external;
    function unBlacklist(address account) external;
}

/// Money that moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedMoney {
    /// Who paid.
    pub from: Address,
    /// Who was paid.
    pub to: Address,
    /// How much.
    pub amount: Amount,
    /// The transaction that did it.
    pub tx_hash: B256,
    /// Where the log stands in its block.
    pub log_index: u64,
    /// The block's height.
    pub block_number: u64,
}

impl Anvil {
    /// Gives an address this much of the test USDC; makes a block.
    pub async fn mint(&self, to: Address, amount: impl Into<Amount>) {
        let value = amount.into().units();
        self.transact(Self::TOKEN, &mintCall { to, value }.abi_encode()).await;
    }

    /// What an address has of the test USDC.
    pub async fn balance_of(&self, account: Address) -> Amount {
        let answer = self.call(Self::TOKEN, &balanceOfCall { account }.abi_encode()).await;
        Amount::new(balanceOfCall::abi_decode_returns(&answer).unwrap())
    }

    /// Whether the token says that this authorization is used up.
    pub async fn authorization_used(&self, payer: Address, nonce: B256) -> bool {
        let call = authorizationStateCall { authorizer: payer, nonce };
        let answer = self.call(Self::TOKEN, &call.abi_encode()).await;
        authorizationStateCall::abi_decode_returns(&answer).unwrap()
    }

    /// Every transfer of the test USDC to an address, in the order of the chain.
    pub async fn transfers_to(&self, to: Address) -> Vec<MovedMoney> {
        let filter = json!([{
            "address": Self::TOKEN,
            "fromBlock": "0x0",
            "toBlock": "latest",
            "topics": [Transfer::SIGNATURE_HASH, null, to.into_word()],
        }]);
        let logs = self.rpc("eth_getLogs", filter).await;
        logs.as_array().expect("the node lists logs").iter().map(moved_money).collect()
    }

    /// Makes the token refuse every transfer; makes a block.
    pub async fn pause_token(&self) {
        self.transact(Self::TOKEN, &pauseCall {}.abi_encode()).await;
    }

    /// Lets the token take transfers again; makes a block.
    pub async fn unpause_token(&self) {
        self.transact(Self::TOKEN, &unpauseCall {}.abi_encode()).await;
    }

    /// Makes the token refuse every transfer from and to an address; makes a block.
    pub async fn blacklist(&self, account: Address) {
        self.transact(Self::TOKEN, &blacklistCall { account }.abi_encode()).await;
    }

    /// Undoes [`Anvil::blacklist`]; makes a block.
    pub async fn unblacklist(&self, account: Address) {
        self.transact(Self::TOKEN, &unBlacklistCall { account }.abi_encode()).await;
    }
}

fn moved_money(log: &Value) -> MovedMoney {
    let word = |value: &Value| serde_json::from_value::<B256>(value.clone()).unwrap();
    MovedMoney {
        from: Address::from_word(word(&log["topics"][1])),
        to: Address::from_word(word(&log["topics"][2])),
        amount: Amount::new(word(&log["data"]).into()),
        tx_hash: word(&log["transactionHash"]),
        log_index: quantity(&log["logIndex"]),
        block_number: quantity(&log["blockNumber"]),
    }
}
