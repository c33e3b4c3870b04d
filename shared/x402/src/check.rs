//! Everything that can be known about a settle request without asking the chain.

use domain::{Authorization, ChainId, Signature, TokenPermit, TransferMethod};
use serde::Deserialize;
use serde_json::Value;

use crate::assets::Listed;
use crate::method::Asked;
use crate::part::Part;
use crate::terms::Terms;
use crate::transfer::Transfer;
use crate::upto::{self, UPTO, Upto};
use crate::{Assets, Reason, Refusal, RefusalKind, Version, Wallets, eip2612, header, network};

/// The scheme that every seller may ask for.
const EXACT: &str = "exact";

/// The body of a settle request, as received.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettleRequest {
    /// The version of the protocol.
    pub x402_version: u64,
    /// The payment: an object, or the base64 text of the header that carried it.
    pub payment_payload: Value,
    /// What the seller asks.
    pub payment_requirements: Value,
}

/// For how long an authorization must and may be valid, counted from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// At least this many seconds, so that there is time to settle it.
    pub min_validity_secs: i64,
    /// At most this many seconds, so that a payment comes to an end.
    pub max_validity_secs: i64,
}

/// What requests are held against.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The tokens that payments may be made in.
    pub assets: &'a Assets,
    /// For how long an authorization must and may be valid.
    pub limits: &'a Limits,
    /// Whether payers may be contract wallets.
    pub wallets: &'a Wallets,
}

/// An authorization that meets the seller's terms.
///
/// Its payer signed it, or it is said to be a contract wallet's, which only the token can say.
/// Whether the payer has the money, and has not used the authorization, only the chain knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The version it came in.
    pub version: Version,
    /// What was authorized.
    pub authorization: Authorization,
    /// The signature as the token takes it.
    pub signature: Signature,
    /// Whether the payer's key made the signature, so that the token takes it as long as the
    /// payer's account has no code ([`PayerSignature::proves`](crate::PayerSignature::proves)).
    pub is_proven: bool,
    /// What lets Permit2 move the money, where that came with it and the token takes such.
    pub permit: Option<TokenPermit>,
}

/// Checks a settle request at a time, in Unix seconds. The first thing that is wrong is told.
///
/// What is compared is always `paymentRequirements`; what the buyer says to have accepted must be
/// the same in scheme, network, asset, amount and recipient. Fields that decide nothing here
/// (`resource`, `maxTimeoutSeconds`, other `extensions` than permits of tokens, …) are passed over.
///
/// # Errors
/// [`Refusal`] with the field that is wrong. The same request is refused again, except when it
/// was too early.
pub fn check(
    request: &SettleRequest,
    assets: &Assets,
    limits: &Limits,
    wallets: &Wallets,
    now: i64,
) -> Result<Checked, Refusal> {
    check_for(Upto::Refused, request, Rules { assets, limits, wallets }, now)
}

/// The same where the scheme may be `upto` as well. Whether the one who alone may name the amount is one of
/// our signers is not looked at.
///
/// # Errors
/// As [`check()`].
pub fn check_for(
    upto: Upto,
    request: &SettleRequest,
    Rules { assets, limits, wallets }: Rules<'_>,
    now: i64,
) -> Result<Checked, Refusal> {
    let version = spoken(request.x402_version)?;
    let payload = header::payment_payload(&request.payment_payload)?;
    let payment = Part::new(header::POINTER, &payload, Reason::InvalidPayload)?;
    let requirements = Part::new(
        "/paymentRequirements",
        &request.payment_requirements,
        Reason::InvalidPaymentRequirements,
    )?;
    same_version(version, &payment)?;
    let accepted = match version {
        Version::V1 => payment,
        Version::V2 => payment.part("/accepted", "/paymentPayload/accepted")?,
    };
    let is_upto = same_scheme((version, upto), &accepted, &requirements)? == UPTO;
    let chain = same_network(version, &accepted, &requirements, assets)?;
    let terms = Terms::read(version, &requirements)?;
    let is_part = is_upto && upto == Upto::Part;
    if !is_part {
        terms.pay_something(version, &requirements)?;
    }
    let token = assets.find(chain, terms.asset).ok_or_else(|| {
        let detail = format!("is not a token that is settled on {chain}");
        let reason = Reason::InvalidPaymentRequirements;
        requirements.refuse(RefusalKind::UnsupportedAsset, "/asset", detail, reason)
    })?;
    terms.name_token(token, &requirements)?;
    let way = token.methods.find(terms.method).ok_or_else(|| {
        Asked::unsupported(&requirements, "is not a method by which this token is transferred here")
    })?;
    let signed = match version {
        Version::V1 => terms.amount,
        Version::V2 => {
            let agreed = Terms::read(version, &accepted)?;
            agreed.pay_something(version, &accepted)?;
            agreed.accept(&terms, &accepted)?;
            if !is_part {
                agreed.accept_amount(&terms, &accepted)?;
            }
            agreed.amount
        }
    };
    let transfer = Transfer::read(&payment, way, wallets)?;
    transfer.meets(&terms, signed, version)?;
    let window = transfer.window(limits, now)?;
    upto::bounded(&requirements, terms.amount, transfer.value())?;
    let authorization = transfer.authorization(chain, &terms, window);
    let digest = token.domain.digest(&authorization);
    let (signature, is_proven) = transfer.signature(digest, chain, wallets)?;
    let earliest = now.saturating_add(limits.min_validity_secs);
    let permit = match takes_permit(token, &authorization) {
        true => eip2612::read(&payment, &token.domain, (&authorization, is_proven), earliest)?,
        false => None,
    };
    Ok(Checked { version, authorization, signature, is_proven, permit })
}

/// Whether a permit of the token may come beside this authorization.
const fn takes_permit(token: &Listed, authorization: &Authorization) -> bool {
    match authorization.method {
        TransferMethod::Permit2 { .. } => token.methods.permits,
        TransferMethod::Eip3009 | TransferMethod::Upto { .. } => false,
    }
}

fn spoken(number: u64) -> Result<Version, Refusal> {
    Version::from_number(number).ok_or_else(|| Refusal {
        kind: RefusalKind::UnsupportedVersion,
        pointer: "/x402Version".to_owned(),
        detail: "must be 1 or 2".to_owned(),
        reason: Reason::InvalidX402Version,
    })
}

fn same_version(version: Version, payment: &Part<'_>) -> Result<(), Refusal> {
    if payment.number("/x402Version")? == u64::from(version.number()) {
        return Ok(());
    }
    let detail = format!("must be {}, as in the request around it", version.number());
    let kind = RefusalKind::UnsupportedVersion;
    Err(payment.refuse(kind, "/x402Version", detail, Reason::InvalidX402Version))
}

/// The scheme, which must be one that is settled.
fn same_scheme<'a>(
    (version, upto): (Version, Upto),
    accepted: &Part<'_>,
    requirements: &Part<'a>,
) -> Result<&'a str, Refusal> {
    let required = requirements.text("/scheme")?;
    let takes_upto = upto != Upto::Refused && version == Version::V2;
    if required != EXACT && !(takes_upto && required == UPTO) {
        let (kind, reason) = (RefusalKind::UnsupportedScheme, Reason::UnsupportedScheme);
        let detail = if takes_upto { "must be exact or upto" } else { "must be exact" };
        return Err(requirements.refuse(kind, "/scheme", detail, reason));
    }
    if accepted.text("/scheme")? != required {
        let reason =
            if required == UPTO { Reason::UptoSchemeMismatch } else { Reason::SchemeMismatch };
        let detail = format!("is not {required}, as required");
        return Err(accepted.refuse(RefusalKind::SchemeMismatch, "/scheme", detail, reason));
    }
    Ok(required)
}

fn same_network(
    version: Version,
    accepted: &Part<'_>,
    requirements: &Part<'_>,
    assets: &Assets,
) -> Result<ChainId, Refusal> {
    let required = requirements.text("/network")?;
    let chain = network::parse(version, required, assets)
        .filter(|chain| assets.serves(*chain))
        .ok_or_else(|| {
            let detail = "is not a network that is settled on, as this version writes it";
            let kind = RefusalKind::UnsupportedNetwork;
            requirements.refuse(kind, "/network", detail, Reason::InvalidNetwork)
        })?;
    if accepted.text("/network")? != required {
        let detail = format!("is not {required}, as required");
        let is_upto = requirements.text("/scheme")? == UPTO;
        let reason = if is_upto { Reason::UptoNetworkMismatch } else { Reason::NetworkMismatch };
        return Err(accepted.refuse(RefusalKind::NetworkMismatch, "/network", detail, reason));
    }
    Ok(chain)
}
