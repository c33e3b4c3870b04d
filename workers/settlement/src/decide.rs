//! What settlement decides, from what it knows: pure, so that it can be tried in any history.
//!
//! Nothing here waits, asks or stores. [`readiness`] sorts payments whose bells have rung,
//! [`following`] says what a block or the token means for payments that are sent, [`pushing`] what
//! to do about transactions that blocks leave lying, [`nonces`] where a lane begins, and [`rhythm`]
//! when the next block is to be expected.

pub(crate) mod following;
pub(crate) mod nonces;
pub(crate) mod pushing;
pub(crate) mod readiness;
pub(crate) mod rhythm;

#[cfg(test)]
mod simulation;
