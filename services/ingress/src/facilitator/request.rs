//! What stock servers post: the same body to verify and to settle.

use axum::extract::Request;
use runtime::{Problem, ProblemCode, json};
use serde_json::{Map, Value};
use x402::{Checked, Limits, Reason, Refusal, RefusalKind, Rules, SettleRequest, Upto, check_for};

use super::answer::Named;
use super::{Facilitator, Shared, identifier};

/// A request that was read.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) request: SettleRequest,
    pub(super) named: Named,
}

/// Why a body was not read.
#[derive(Debug)]
pub(super) enum NotRead {
    /// It never came: told as everywhere in this API.
    Problem(Problem),
    /// It is no request.
    Refused(Refusal),
}

/// Reads a request. Where the version is not said around the payment, the payment says it.
pub(super) async fn read(request: Request) -> Result<Posted, NotRead> {
    let body = json::read_body(request).await.map_err(unread)?;
    let mut members: Map<String, Value> = json::parse(&body).map_err(unread)?;
    let mut take = |name: &'static str| match members.remove(name) {
        Some(member) if !member.is_null() => Ok(member),
        Some(_) | None => Err(NotRead::Refused(missing(name))),
    };
    let (payment_payload, payment_requirements) =
        (take("paymentPayload")?, take("paymentRequirements")?);
    let inside = payment_payload.get("x402Version").cloned();
    let version = take("x402Version").ok().or(inside);
    let x402_version = version.as_ref().and_then(Value::as_u64).ok_or_else(|| {
        let (kind, reason) = (RefusalKind::UnsupportedVersion, Reason::InvalidX402Version);
        NotRead::Refused(refused(kind, "/x402Version", "must be 1 or 2", reason))
    })?;
    let named = named(&payment_payload, &payment_requirements);
    let request = SettleRequest { x402_version, payment_payload, payment_requirements };
    Ok(Posted { request, named })
}

/// What is malformed is told in the words of x402, and everything else as everywhere in this API.
fn unread(problem: Problem) -> NotRead {
    match problem.code() {
        ProblemCode::MalformedJson | ProblemCode::InvalidRequest => {
            let (kind, reason) = (RefusalKind::MalformedField, Reason::InvalidPayload);
            NotRead::Refused(refused(kind, "", "The body must be a JSON object", reason))
        }
        _ => NotRead::Problem(problem),
    }
}

impl Posted {
    /// What can be known of it, as one to be verified, without asking the chain.
    pub(super) fn check_whole(&self, facilitator: &Facilitator) -> Result<Checked, Refusal> {
        self.check_within(facilitator, &facilitator.0.app.settings().limits, Upto::Whole)
    }

    /// The same as one to be settled.
    pub(super) fn check(&self, facilitator: &Facilitator) -> Result<Checked, Refusal> {
        self.check_within(facilitator, &facilitator.0.app.settings().limits, Upto::Part)
    }

    /// The same, whatever time is left.
    pub(super) fn check_at_any_time(&self, facilitator: &Facilitator) -> Result<Checked, Refusal> {
        let limits = Limits { min_validity_secs: i64::MIN / 4, max_validity_secs: i64::MAX / 4 };
        self.check_within(facilitator, &limits, Upto::Part)
    }

    fn check_within(
        &self,
        facilitator: &Facilitator,
        limits: &Limits,
        upto: Upto,
    ) -> Result<Checked, Refusal> {
        let Shared { app, assets, .. } = &*facilitator.0;
        let (wallets, now) = (&app.settings().wallets, app.now().unix_secs());
        let rules = Rules { assets, limits, wallets };
        let checked = check_for(upto, &self.request, rules, now)?;
        self.names_the_token()?;
        Ok(checked)
    }

    /// Refuses an EIP-3009 payment whose terms do not say what the token is called. The payment API does
    /// without, but no stock server is told that this is right.
    fn names_the_token(&self) -> Result<(), Refusal> {
        let SettleRequest { payment_payload, payment_requirements, .. } = &self.request;
        let says = |pointer| payment_requirements.pointer(pointer).is_some_and(Value::is_string);
        let is_eip3009 = payment_payload.pointer("/payload/authorization").is_some();
        if !is_eip3009 || (says("/extra/name") && says("/extra/version")) {
            return Ok(());
        }
        let (kind, reason) = (RefusalKind::AssetMismatch, Reason::MissingEip712Domain);
        let detail = "must have the token's name and version";
        Err(refused(kind, "/paymentRequirements/extra", detail, reason))
    }

    /// The buyer's own name for it, if it has one.
    pub(super) fn identifier(&self) -> Result<Option<String>, Refusal> {
        identifier::read(&self.request)
    }
}

/// Whom the request names, whether it is right or not.
fn named(payload: &Value, requirements: &Value) -> Named {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let payer = ["/payload/authorization/from", "/payload/permit2Authorization/from"];
    Named {
        network: text(requirements.get("network")).unwrap_or_default(),
        payer: payer.into_iter().find_map(|pointer| text(payload.pointer(pointer))),
    }
}

fn missing(name: &str) -> Refusal {
    let reason = match name {
        "paymentRequirements" => Reason::InvalidPaymentRequirements,
        _ => Reason::InvalidPayload,
    };
    refused(RefusalKind::MissingField, &format!("/{name}"), "is missing", reason)
}

fn refused(kind: RefusalKind, pointer: &str, detail: &str, reason: Reason) -> Refusal {
    Refusal { kind, pointer: pointer.to_owned(), detail: detail.to_owned(), reason }
}
