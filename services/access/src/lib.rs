//! Who is calling, and how often: API keys as bearer tokens, looked up by their digest.
//!
//! The account that a request acts for comes from its key alone, never from what it says.

#![deny(missing_docs)]

mod allowance;
mod bearer;
mod denied;
mod entrance;
mod jwt;
mod keys;
mod limits;
mod poll_token;
mod porter;
mod token;

pub use allowance::{allowance, begun_seconds};
pub use denied::Denied;
pub use entrance::Entrance;
pub use jwt::{BadToken, Jwt, JwtSetupError};
pub use keys::{ApiKeys, Caller};
pub use limits::LimitSettings;
pub use poll_token::PollTokens;
pub use porter::{Guarded, Porter};
pub use token::ApiToken;
