//! What a request says, as 32 bytes: the same key may only ever say the same.

use std::collections::BTreeMap;

use domain::{Address, Amount, B256, ChainId, Finality, Mandate, RiskContext, TokenPermit, U256};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};
use x402::{Checked, SettleRequest};

use crate::submission::Extras;

/// Raised when the form below changes, so that digests of different forms never meet by chance.
const FORM: u8 = 1;

/// Everything that decides what is stored, in one order. Spaces, the order and case of what was
/// sent, and whether the payment came as an object or as header text, do not matter.
#[derive(Serialize)]
struct Said<'a> {
    form: u8,
    x402_version: u8,
    network: ChainId,
    asset: Address,
    payer: Address,
    pay_to: Address,
    amount: Amount,
    valid_after: i64,
    valid_before: i64,
    nonce: B256,
    signature: &'a [u8],
    finality: Finality,
    reference: Option<&'a str>,
    metadata: Option<Sorted<'a>>,
    /// Left out where there is none, so that such a request has the digest that it had before.
    #[serde(skip_serializing_if = "Option::is_none")]
    handed_over: Option<HandedOver<'a>>,
    /// So is this.
    #[serde(skip_serializing_if = "Option::is_none")]
    permit: Option<Permit<'a>>,
}

/// What lets Permit2 move the money.
#[derive(Serialize)]
struct Permit<'a> {
    nonce: U256,
    deadline: U256,
    signature: &'a [u8],
}

impl<'a> Permit<'a> {
    fn of(permit: &'a TokenPermit) -> Self {
        let TokenPermit { nonce, deadline, signature } = permit;
        Self { nonce: *nonce, deadline: *deadline, signature: signature.reveal() }
    }
}

/// What is for the risk engine.
#[derive(Serialize)]
struct HandedOver<'a> {
    session: Option<String>,
    trace: Option<String>,
    traceparent: Option<&'a str>,
    tracestate: Option<&'a str>,
    mandate: Option<&'a Mandate>,
}

impl<'a> HandedOver<'a> {
    fn of(context: &'a RiskContext) -> Self {
        let RiskContext { session, trace, request, mandate } = context;
        Self {
            session: session.as_ref().map(ToString::to_string),
            trace: trace.as_ref().map(ToString::to_string),
            traceparent: request.as_ref().map(|request| &*request.parent),
            tracestate: request.as_ref().and_then(|request| request.state.as_deref()),
            mandate: mandate.as_ref(),
        }
    }
}

/// SHA-256 of what a checked submission says, with what its request handed over.
pub(crate) fn of(checked: &Checked, extras: &Extras, handed_over: &RiskContext) -> [u8; 32] {
    let authorization = &checked.authorization;
    let said = Said {
        form: FORM,
        x402_version: checked.version.number(),
        network: authorization.chain,
        asset: authorization.asset,
        payer: authorization.payer,
        pay_to: authorization.pay_to,
        amount: authorization.amount,
        valid_after: authorization.valid_after,
        valid_before: authorization.valid_before,
        nonce: authorization.nonce,
        signature: checked.signature.reveal(),
        finality: extras.finality,
        reference: extras.reference.as_deref(),
        metadata: extras.metadata.as_ref().map(Sorted),
        handed_over: (!handed_over.is_empty()).then(|| HandedOver::of(handed_over)),
        permit: checked.permit.as_ref().map(Permit::of),
    };
    let json = serde_json::to_vec(&said).expect("strings, numbers and objects of them are JSON");
    Sha256::digest(json).into()
}

/// SHA-256 of a whole settle request: what is asked for with a payment, and not the payment alone.
pub(crate) fn of_request(request: &SettleRequest) -> [u8; 32] {
    let said = (
        request.x402_version,
        Sorted(&request.payment_payload),
        Sorted(&request.payment_requirements),
    );
    let json = serde_json::to_vec(&said).expect("JSON is JSON");
    Sha256::digest(json).into()
}

/// JSON with the members of each object in order of their names, however the map keeps them.
struct Sorted<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(members) => {
                let sorted: BTreeMap<&String, &Value> = members.iter().collect();
                let mut map = serializer.serialize_map(Some(sorted.len()))?;
                for (name, member) in sorted {
                    map.serialize_entry(name, &Self(member))?;
                }
                map.end()
            }
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Self(item))?;
                }
                list.end()
            }
            scalar @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                scalar.serialize(serializer)
            }
        }
    }
}

#[cfg(test)]
mod tests;
