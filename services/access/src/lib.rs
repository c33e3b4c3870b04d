//! Who is calling: API keys as bearer tokens, looked up by their digest.
//!
//! The account that a request acts for comes from its key alone, never from what it says.

#![deny(missing_docs)]

mod bearer;
mod denied;
mod keys;
mod poll_token;
mod token;

pub use denied::Denied;
pub use keys::{ApiKeys, Caller};
pub use poll_token::PollTokens;
pub use token::ApiToken;
