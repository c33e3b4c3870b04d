//! Why a step of settlement was not taken.

use chain::{ChainError, SignError};
use store::StoreError;

/// Why a step was not taken. Nothing is decided by any of these: what was not done is due again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettleError {
    /// The node did not say.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The key did not sign: nothing was stored, so nothing is sent.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The ledger did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody here can settle on this network any more.
    #[error("no lane is held on this network")]
    NoLane,
    /// Gas costs more than we pay.
    #[error("gas costs more than the cap")]
    TooDear,
    /// A node refused for want of gas money: offering more makes no sense until there is some.
    #[error("the signer cannot pay for gas")]
    OutOfGas,
    /// An operator has taken the signer out of use.
    #[error("the signer is paused")]
    Paused,
    /// The signer's lease was lost; its next holder goes on.
    #[error("the lease on the signer was lost")]
    LeaseLost,
    /// The ledger knows of a transaction of this signer that this lane does not.
    #[error("the lane is out of step with the ledger")]
    OutOfStep,
    /// A node speaks of nonces that cannot be the signer's.
    #[error("the node expects nonce {expected} after {mined} mined ones, far from what is stored")]
    Adrift {
        /// The nonce after everything that is pending.
        expected: u64,
        /// The nonce after the newest block.
        mined: u64,
    },
    /// Payments kept moving away while a round was built.
    #[error("the payments of the round kept changing")]
    Restless,
}
