//! EVM nodes and signers: the only crate that knows alloy's clients.
//!
//! A node's silence is never an answer: what was not said is an error here, and callers decide
//! nothing from errors.

mod abi;
mod absence;
mod account_code;
mod authorization_log;
mod authorization_use;
mod blame;
mod blocks;
mod breaker;
mod broadcast;
mod call;
mod endpoint;
mod error;
mod fees;
mod fence;
mod head;
mod meters;
mod mined_block;
mod node;
mod order;
mod outcome;
mod permit2;
mod receipt;
mod signer;
mod transfer;
mod transport;
mod trial;
mod url_name;
mod view;

pub use authorization_log::UseLog;
pub use authorization_use::AuthorizationUse;
pub use breaker::{Breaker, BreakerPolicy};
pub use broadcast::SendAnswer;
pub use error::ChainError;
pub use fees::Fees;
pub use head::{BlockTag, Head};
pub use mined_block::MinedBlock;
pub use node::{HttpClient, Node, NodeConfig};
pub use outcome::{find_payment, transfer_after_use};
pub use permit2::{AMOUNT_EXCEEDS_PERMITTED, UNAUTHORIZED_FACILITATOR};
pub use receipt::{LogEntry, Receipt};
pub use signer::{
    InvalidKey, KeystoreError, KmsKey, SignError, SignedTransaction, Signer, TransactionPlan,
};
pub use transfer::{Call, Simulated, batch, transfer, transfer_with_permit};
pub use trial::{PAYMENT_GAS, Trial};
pub use view::AuthorizationView;
