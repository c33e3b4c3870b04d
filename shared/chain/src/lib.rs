//! EVM nodes and signers: the only crate that knows alloy's clients.
//!
//! A node's silence is never an answer: what was not said is an error here, and callers decide
//! nothing from errors.

mod abi;
mod authorization_use;
mod broadcast;
mod error;
mod fees;
mod head;
mod node;
mod outcome;
mod receipt;
mod signer;
mod transfer;
mod view;

pub use authorization_use::AuthorizationUse;
pub use broadcast::SendAnswer;
pub use error::ChainError;
pub use fees::Fees;
pub use head::{BlockTag, Head};
pub use node::{HttpClient, Node, NodeConfig};
pub use outcome::{find_payment, transfer_after_use};
pub use receipt::{LogEntry, Receipt};
pub use signer::{
    InvalidKey, KeystoreError, KmsKey, SignError, SignedTransaction, Signer, TransactionPlan,
};
pub use transfer::{Call, Simulated, batch, transfer};
pub use view::AuthorizationView;
