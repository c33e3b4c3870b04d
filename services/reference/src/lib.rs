//! What the HTTP API says of itself: its document, a page that shows it, and a guide for agents.
//!
//! The document is written by [`document::assemble`] from what the services say of their routes, and
//! committed; both services serve it as it was committed.

#![deny(missing_docs)]

pub mod document;
mod page;
mod routes;

pub use routes::router;
