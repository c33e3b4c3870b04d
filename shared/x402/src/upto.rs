//! The scheme `upto`: the buyer signs for the most that is taken, and the seller says how much is.

use domain::{Address, Amount};

use crate::part::Part;
use crate::{Reason, Refusal, RefusalKind};

/// Its name on the wire.
pub(crate) const UPTO: &str = "upto";

/// Where a payload says who alone may name the amount.
pub(crate) const SENDER: &str = "/payload/permit2Authorization/witness/facilitator";

/// What is made of a request by the scheme `upto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upto {
    /// It is refused: only `exact` is settled.
    Refused,
    /// It is verified: what is required is the whole of what was signed.
    Whole,
    /// It is settled: what is required is what is taken of it, which may be nothing.
    Part,
}

/// Refuses requirements that take more than was signed.
pub(crate) fn bounded(requirements: &Part<'_>, asked: Amount, most: Amount) -> Result<(), Refusal> {
    if asked <= most {
        return Ok(());
    }
    let detail = format!("is more than {most}, which was signed");
    let (kind, reason) = (RefusalKind::AmountMismatch, Reason::UptoExceedsAmount);
    Err(requirements.refuse(kind, "/amount", detail, reason))
}

/// Reads who alone may name the amount.
pub(crate) fn sender(payment: &Part<'_>) -> Result<Address, Refusal> {
    payment.address(SENDER)
}
