//! What tests stand on: real databases, queues, chains, buyers and receivers. A dev-dependency only.
//!
//! Every server is the caller's own and ends with the value that started it, every database is the
//! caller's own and is dropped with it, and nothing sleeps: tests wait for conditions with
//! [`eventually`]. A test that cannot be arranged panics and says what is missing.

#![deny(missing_docs)]
#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

mod account;
mod anvil;
mod buyer;
mod contract;
mod database;
mod dice;
mod eventually;
mod faulty_node;
pub mod http;
mod process;
mod receiver;
mod redis_server;

pub use account::Seller;
pub use anvil::{Anvil, AnvilBuilder, MovedMoney, RpcError, WalletBehaviour};
pub use buyer::{AuthorizationBuilder, Buyer, SignedAuthorization};
pub use contract::{Contract, Heard, conforms};
pub use database::Database;
pub use dice::Dice;
pub use eventually::eventually;
pub use faulty_node::{Fate, FaultyNode};
pub use receiver::{Answer, Received, Receiver};
pub use redis_server::{RedisServer, key_prefix};
