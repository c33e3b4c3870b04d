//! What a payment is and what may happen to it: pure types and decisions.
//!
//! Nothing here performs I/O, reads a clock or draws randomness. Times, ids and facts about the
//! chain are handed in; decisions come back as values.

#![deny(missing_docs, clippy::wildcard_enum_match_arm)]
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)
)]

mod authorization;
mod consultation;
mod control;
mod decision;
mod endpoint_event;
mod endpoint_health;
mod endpoint_terms;
mod event_type;
mod example;
mod failure;
mod finality;
mod ids;
mod money;
mod network;
mod payment;
mod policy;
mod resource;
mod risk;
mod risk_context;
pub mod risk_engine;
pub mod schedule;
pub mod schema;
mod scope;
mod timestamp;
mod token_permit;
mod transition;

pub use alloy_primitives::{Address, B256, U256};
pub use authorization::{Authorization, PERMIT2, Signature, TransferMethod};
pub use consultation::{
    Consultation, Consulting, EngineAnswer, EngineKind, EngineWord, Occasion, Progress, patience,
};
pub use control::{Control, Denial, InvalidDenial};
pub use decision::{BudgetKey, Case, Decision, Purse, Taken, WaitingFor, decide};
pub use endpoint_event::{EndpointEvent, EndpointNews};
pub use endpoint_health::{Consequence, Failing, LONGEST_GAP};
pub use endpoint_terms::{DeliveryOrder, EndpointTerms, PayloadVersion, UnknownChoice};
pub use event_type::{EventType, UnknownEventType};
pub use example::example_event;
pub use failure::{FailureCode, Fault, UnknownFailure};
pub use finality::{Finality, UnknownFinality};
pub use ids::{
    AccountId, ApiKeyId, DeliveryId, EndpointId, EventId, InvalidId, JobId, PaymentId, SignerId,
    TransactionId,
};
pub use money::{Amount, InvalidAmount};
pub use network::{ChainId, InvalidNetwork};
pub use payment::{Inclusion, Payment, PaymentState, StateName, Submission, UnknownState};
pub use policy::{
    Demand, HostPattern, InvalidHost, InvalidPolicy, List, OnEngineFailure, Per, Period, Policy,
    PolicyReason, TokenLimit, UnknownReason, Velocity,
};
pub use resource::{PaymentResource, Standing, TransactionResource, WebhookBody, WebhookEvent};
pub use risk::{ChainView, Verdict, judge};
pub use risk_context::{Mandate, RequestTrace, RiskContext};
pub use scope::{Scope, UnknownScope};
pub use timestamp::{InvalidTimestamp, Timestamp};
pub use token_permit::{Leave, TokenPermit, allowance_with};
pub use transition::{Event, Refused, transition};
