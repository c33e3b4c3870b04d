//! What is to be paid, to whom, in which token.

use domain::{Address, Amount};

use crate::assets::Listed;
use crate::method::Asked;
use crate::part::Part;
use crate::{Reason, Refusal, RefusalKind, Version};

/// The part of `PaymentRequirements` that decides what is settled. Version 2 has it twice: as the
/// seller's `paymentRequirements` and as what the buyer `accepted`.
pub(crate) struct Terms<'a> {
    pub(crate) asset: Address,
    pub(crate) amount: Amount,
    pub(crate) pay_to: Address,
    pub(crate) method: Asked,
    token_name: Option<&'a str>,
    token_version: Option<&'a str>,
}

impl<'a> Terms<'a> {
    /// Reads the terms; scheme and network have been read before.
    pub(crate) fn read(version: Version, part: &Part<'a>) -> Result<Self, Refusal> {
        let terms = Self {
            method: match version {
                Version::V1 => Asked::Eip3009,
                Version::V2 => Asked::read(part)?,
            },
            asset: part.address("/asset")?,
            amount: part.amount(amount_path(version))?,
            pay_to: part.address("/payTo")?,
            token_name: part.optional_text("/extra/name")?,
            token_version: part.optional_text("/extra/version")?,
        };
        if terms.pay_to == Address::ZERO {
            return Err(part.malformed("/payTo", "must not be the zero address"));
        }
        Ok(terms)
    }

    /// Refuses terms by which nothing is paid.
    pub(crate) fn pay_something(&self, version: Version, part: &Part<'_>) -> Result<(), Refusal> {
        match self.amount == Amount::ZERO {
            true => Err(part.malformed(amount_path(version), "must be more than zero")),
            false => Ok(()),
        }
    }

    /// Refuses terms that call the token otherwise than it calls itself: what the buyer was shown
    /// would not be what the token checks.
    pub(crate) fn name_token(&self, token: &Listed, part: &Part<'_>) -> Result<(), Refusal> {
        let said = [
            ("/extra/name", self.token_name, &token.name, Reason::TokenNameMismatch),
            ("/extra/version", self.token_version, &token.version, Reason::TokenVersionMismatch),
        ];
        for (path, given, actual, reason) in said {
            if given.is_some_and(|given| given != actual) {
                let detail = format!("must be {actual:?}, as in the token's EIP-712 domain");
                return Err(part.refuse(RefusalKind::AssetMismatch, path, detail, reason));
            }
        }
        Ok(())
    }

    /// Refuses an acceptance, standing at `part`, of other terms than the required ones.
    pub(crate) fn accept(&self, required: &Self, part: &Part<'_>) -> Result<(), Refusal> {
        let differs = |kind, path, detail: String, reason| {
            Err(part.refuse(kind, path, format!("is not {detail}, as required"), reason))
        };
        if self.asset != required.asset {
            let detail = required.asset.to_string();
            return differs(RefusalKind::AssetMismatch, "/asset", detail, Reason::InvalidPayload);
        }
        if self.method != required.method {
            let (kind, reason) = (RefusalKind::SchemeMismatch, Reason::UnsupportedPayloadType);
            return differs(kind, Asked::POINTER, "the method of transfer".to_owned(), reason);
        }
        if self.pay_to != required.pay_to {
            let (detail, reason) = (required.pay_to.to_string(), Reason::RecipientMismatch);
            return differs(RefusalKind::RecipientMismatch, "/payTo", detail, reason);
        }
        Ok(())
    }

    /// Refuses an acceptance, standing at `part`, of another amount than the required one.
    pub(crate) fn accept_amount(&self, required: &Self, part: &Part<'_>) -> Result<(), Refusal> {
        if self.amount == required.amount {
            return Ok(());
        }
        let detail = format!("is not {}, as required", required.amount);
        let reason = match required.method {
            Asked::Eip3009 | Asked::Permit2 => Reason::AmountMismatchV2,
            Asked::Upto => Reason::Permit2AmountMismatch,
        };
        Err(part.refuse(RefusalKind::AmountMismatch, "/amount", detail, reason))
    }
}

const fn amount_path(version: Version) -> &'static str {
    match version {
        Version::V1 => "/maxAmountRequired",
        Version::V2 => "/amount",
    }
}
