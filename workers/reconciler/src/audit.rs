//! The audit: does the ledger say what the chain says?
//!
//! Only final blocks are compared. What is told apart strictly: ledger and chain are equal, they
//! differ ([`Difference`]), or it could not be found out ([`Unfinished`]), which is never "equal".
//! Nothing is changed here, neither in the ledger's payments nor on chain.

mod compare;
mod difference;
mod examination;
mod lookout;
mod meters;
mod patience;
mod range;
mod stride;

use chain::Node;
use domain::Address;

pub use difference::Difference;
pub use examination::{Tally, examine};
pub use lookout::Auditor;
pub use patience::Unfinished;
pub use range::{newest_final, recent};

/// One network whose chain is compared with the ledger.
#[derive(Clone, Debug)]
pub struct AuditNetwork {
    /// Its node.
    pub node: Node,
    /// The tokens that payments are made in.
    pub assets: Vec<Address>,
    /// Blocks after which one is final, itself included.
    pub confirmations: u64,
}
