//! What the buyer signed: the `exact` payload for EIP-3009.

use domain::{Address, Amount, Authorization, B256, ChainId, Signature, U256};

use crate::check::Limits;
use crate::given::Given;
use crate::part::Part;
use crate::terms::Terms;
use crate::{Reason, Refusal, RefusalKind, Version, Wallets};

const SIGNATURE: &str = "/payload/signature";
const FROM: &str = "/payload/authorization/from";
const TO: &str = "/payload/authorization/to";
const VALUE: &str = "/payload/authorization/value";
const VALID_AFTER: &str = "/payload/authorization/validAfter";
const VALID_BEFORE: &str = "/payload/authorization/validBefore";
const NONCE: &str = "/payload/authorization/nonce";

/// Payloads of `exact` that are not EIP-3009: Permit2 and ERC-7710, by the field that marks them.
const OTHER_METHODS: [&str; 2] = ["/payload/permit2Authorization", "/payload/delegationManager"];

/// `paymentPayload.payload`, read but not yet believed.
pub(crate) struct Transfer<'a> {
    part: &'a Part<'a>,
    from: Address,
    to: Address,
    value: Amount,
    valid_after: U256,
    valid_before: U256,
    nonce: B256,
    signature: Given,
}

impl<'a> Transfer<'a> {
    /// Reads the payload that stands in `part`, the payment.
    pub(crate) fn read(part: &'a Part<'a>, wallets: &Wallets) -> Result<Self, Refusal> {
        if let Some(marker) = OTHER_METHODS.into_iter().find(|marker| part.has(marker)) {
            return Err(part.refuse(
                RefusalKind::UnsupportedScheme,
                marker,
                "is not supported: the transfer must be authorized by EIP-3009",
                Reason::UnsupportedPayloadType,
            ));
        }
        Ok(Self {
            part,
            from: part.address(FROM)?,
            to: part.address(TO)?,
            value: part.amount(VALUE)?,
            valid_after: part.amount(VALID_AFTER)?.units(),
            valid_before: part.amount(VALID_BEFORE)?.units(),
            nonce: part.word(NONCE)?,
            signature: Given::read(part, SIGNATURE, wallets)?,
        })
    }

    /// Refuses a transfer of another amount or to somebody else than the terms say.
    pub(crate) fn meets(&self, terms: &Terms<'_>, version: Version) -> Result<(), Refusal> {
        if self.to != terms.pay_to {
            let detail = format!("is not {}, who is to be paid", terms.pay_to);
            let reason = Reason::RecipientMismatch;
            return Err(self.part.refuse(RefusalKind::RecipientMismatch, TO, detail, reason));
        }
        if self.value != terms.amount {
            let detail = format!("is {}, but {} is required", self.value, terms.amount);
            let reason = match version {
                Version::V1 => Reason::AmountMismatchV1,
                Version::V2 => Reason::AmountMismatchV2,
            };
            return Err(self.part.refuse(RefusalKind::AmountMismatch, VALUE, detail, reason));
        }
        Ok(())
    }

    /// The validity in Unix seconds, where it is open now and closes neither too soon nor too
    /// late. On chain, both bounds are exclusive (EIP-3009).
    pub(crate) fn window(&self, limits: &Limits, now: i64) -> Result<(i64, i64), Refusal> {
        let closes = |kind, detail: String| {
            Err(self.part.refuse(kind, VALID_BEFORE, detail, Reason::ValidBefore))
        };
        // What does not fit is later than any time that is allowed.
        let seconds = |at: U256| i64::try_from(at).unwrap_or(i64::MAX);
        let (after, before) = (seconds(self.valid_after), seconds(self.valid_before));
        if before < now.saturating_add(limits.min_validity_secs) {
            let detail = format!("must be at least {} s from now", limits.min_validity_secs);
            return closes(RefusalKind::AuthorizationExpired, detail);
        }
        if before > now.saturating_add(limits.max_validity_secs) {
            let detail = format!("must be at most {} s from now", limits.max_validity_secs);
            return closes(RefusalKind::AuthorizationWindowTooLong, detail);
        }
        if after > now {
            let (kind, reason) = (RefusalKind::AuthorizationNotYetValid, Reason::ValidAfter);
            return Err(self.part.refuse(kind, VALID_AFTER, "must not be in the future", reason));
        }
        Ok((after, before))
    }

    /// The authorization that these fields make, for a token of a network.
    pub(crate) fn authorization(
        &self,
        chain: ChainId,
        asset: Address,
        (valid_after, valid_before): (i64, i64),
    ) -> Authorization {
        Authorization {
            chain,
            asset,
            payer: self.from,
            pay_to: self.to,
            amount: self.value,
            valid_after,
            valid_before,
            nonce: self.nonce,
        }
    }

    /// The signature for the token, and whether the payer's key made it over this digest; where it
    /// did not, only a contract wallet can tell.
    pub(crate) fn signature(
        &self,
        digest: B256,
        chain: ChainId,
        wallets: &Wallets,
    ) -> Result<(Signature, bool), Refusal> {
        let refuse = |kind, detail, reason| Err(self.part.refuse(kind, SIGNATURE, detail, reason));
        match &self.signature {
            Given::KeyPair(signature) if signature.signer(digest) == Some(self.from) => {
                Ok((signature.normalized(), true))
            }
            Given::KeyPair(_) => refuse(
                RefusalKind::InvalidSignature,
                "is not the payer's over this authorization on this network and token",
                Reason::InvalidSignature,
            ),
            Given::Either(signature, _) if signature.signer(digest) == Some(self.from) => {
                Ok((signature.normalized(), true))
            }
            Given::Either(_, bytes) | Given::Contract(bytes) => Ok((bytes.clone(), false)),
            Given::Undeployed(wrapped, bytes) if wallets.may_deploy(chain, wrapped.factory) => {
                Ok((bytes.clone(), false))
            }
            Given::Undeployed(..) => refuse(
                RefusalKind::UnsupportedSignature,
                "names a factory (ERC-6492) that may not deploy wallets here",
                Reason::Eip6492FactoryNotAllowed,
            ),
        }
    }
}
