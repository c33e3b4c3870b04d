//! What the buyer signed: the `exact` payload, for EIP-3009 or for Permit2.

use domain::{Address, Amount, Authorization, B256, ChainId, Signature, TransferMethod, U256};

use crate::check::Limits;
use crate::form::{self, Form};
use crate::given::Given;
use crate::method::Way;
use crate::part::Part;
use crate::terms::Terms;
use crate::{Reason, Refusal, RefusalKind, Version, Wallets, upto};

const SIGNATURE: &str = "/payload/signature";
const PERMIT2_SPENDER: &str = "/payload/permit2Authorization/spender";
const PERMIT2_TOKEN: &str = "/payload/permit2Authorization/permitted/token";

/// What marks a payload as one of Permit2, and one of ERC-7710, which is not settled here.
const PERMIT2_MARK: &str = "/payload/permit2Authorization";
const ERC7710_MARK: &str = "/payload/delegationManager";

/// `paymentPayload.payload`, read but not yet believed.
pub(crate) struct Transfer<'a> {
    part: &'a Part<'a>,
    form: &'static Form,
    method: TransferMethod,
    /// The token, where the payload names it.
    token: Option<Address>,
    from: Address,
    to: Address,
    value: Amount,
    valid_after: U256,
    /// Exclusive, whatever the method.
    valid_before: U256,
    nonce: B256,
    signature: Given,
}

impl<'a> Transfer<'a> {
    /// Reads the payload that stands in `part`, the payment, which must be one of this method.
    pub(crate) fn read(part: &'a Part<'a>, way: Way, wallets: &Wallets) -> Result<Self, Refusal> {
        let other = |mark: &str, detail: &str| {
            let (kind, reason) = (RefusalKind::UnsupportedScheme, Reason::UnsupportedPayloadType);
            Err(part.refuse(kind, mark, detail, reason))
        };
        if part.has(ERC7710_MARK) {
            return other(ERC7710_MARK, "is not supported");
        }
        match (way, part.has(PERMIT2_MARK)) {
            (Way::Eip3009, true) => other(
                PERMIT2_MARK,
                "is not asked for: the transfer is to be authorized by EIP-3009",
            ),
            (Way::Permit2 { .. } | Way::Upto { .. }, false) => {
                other("/payload", "must have a permit2Authorization, as is asked for")
            }
            (Way::Eip3009, false) => {
                let valid_before = part.amount(form::EIP3009.valid_before)?.units();
                let nonce = part.word(form::EIP3009.nonce)?;
                let (form, method) = (&form::EIP3009, TransferMethod::Eip3009);
                Self::of_form(part, form, method, (valid_before, nonce), wallets)
            }
            (Way::Permit2 { spender }, true) => {
                Self::by_permit2(part, TransferMethod::Permit2 { spender }, spender, wallets)
            }
            (Way::Upto { spender }, true) => {
                let (sender, most) = (upto::sender(part)?, part.amount(form::PERMIT2.value)?);
                let method = TransferMethod::Upto { spender, sender, most };
                Self::by_permit2(part, method, spender, wallets)
            }
        }
    }

    fn by_permit2(
        part: &'a Part<'a>,
        method: TransferMethod,
        spender: Address,
        wallets: &Wallets,
    ) -> Result<Self, Refusal> {
        if part.address(PERMIT2_SPENDER)? != spender {
            let detail = format!("is not {spender}, through which x402 is settled");
            let (kind, reason) = (RefusalKind::SchemeMismatch, Reason::InvalidPermit2Spender);
            return Err(part.refuse(kind, PERMIT2_SPENDER, detail, reason));
        }
        let form = &form::PERMIT2;
        // Permit2 takes it at the deadline itself.
        let deadline = part.amount(form.valid_before)?.units();
        let valid_before = deadline.saturating_add(U256::from(1));
        let nonce = part.amount(form.nonce)?.units().into();
        let token = Some(part.address(PERMIT2_TOKEN)?);
        let read = Self::of_form(part, form, method, (valid_before, nonce), wallets)?;
        Ok(Self { token, ..read })
    }

    fn of_form(
        part: &'a Part<'a>,
        form: &'static Form,
        method: TransferMethod,
        (valid_before, nonce): (U256, B256),
        wallets: &Wallets,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            part,
            form,
            method,
            token: None,
            from: part.address(form.from)?,
            to: part.address(form.to)?,
            value: part.amount(form.value)?,
            valid_after: part.amount(form.valid_after)?.units(),
            valid_before,
            nonce,
            signature: Given::read(part, SIGNATURE, wallets)?,
        })
    }

    /// The amount that was signed.
    pub(crate) const fn value(&self) -> Amount {
        self.value
    }

    /// Refuses a transfer of another than this amount, in another token, or to somebody else than the
    /// terms say.
    pub(crate) fn meets(
        &self,
        terms: &Terms<'_>,
        amount: Amount,
        version: Version,
    ) -> Result<(), Refusal> {
        let form = self.form;
        let refuse = |kind, path, detail, reason| Err(self.part.refuse(kind, path, detail, reason));
        if self.to != terms.pay_to {
            let detail = format!("is not {}, who is to be paid", terms.pay_to);
            return refuse(RefusalKind::RecipientMismatch, form.to, detail, form.other_recipient);
        }
        if self.value != amount {
            let detail = format!("is {}, but {amount} is required", self.value);
            let reason = form.other_amount(version);
            return refuse(RefusalKind::AmountMismatch, form.value, detail, reason);
        }
        if self.token.is_some_and(|token| token != terms.asset) {
            let detail = format!("is not {}, in which is to be paid", terms.asset);
            let reason = Reason::Permit2TokenMismatch;
            return refuse(RefusalKind::AssetMismatch, PERMIT2_TOKEN, detail, reason);
        }
        Ok(())
    }

    /// The validity in Unix seconds, where it is open now and closes neither too soon nor too
    /// late.
    pub(crate) fn window(&self, limits: &Limits, now: i64) -> Result<(i64, i64), Refusal> {
        let closes = |kind, detail: String| {
            Err(self.part.refuse(kind, self.form.valid_before, detail, self.form.too_late))
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
            let (kind, reason) = (RefusalKind::AuthorizationNotYetValid, self.form.not_yet);
            let detail = "must not be in the future";
            return Err(self.part.refuse(kind, self.form.valid_after, detail, reason));
        }
        Ok((after, before))
    }

    /// The authorization that these fields make, for what the terms ask of it on a network.
    pub(crate) fn authorization(
        &self,
        chain: ChainId,
        terms: &Terms<'_>,
        (valid_after, valid_before): (i64, i64),
    ) -> Authorization {
        Authorization {
            method: self.method,
            chain,
            asset: terms.asset,
            payer: self.from,
            pay_to: self.to,
            amount: terms.amount,
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
                self.form.signature,
            ),
            Given::Either(signature, _) if signature.signer(digest) == Some(self.from) => {
                Ok((signature.normalized(), true))
            }
            Given::Either(_, bytes) | Given::Contract(bytes) => Ok((bytes.clone(), false)),
            Given::Undeployed(..) if self.method.sender().is_some() => refuse(
                RefusalKind::UnsupportedSignature,
                "is of a wallet that is yet to be deployed (ERC-6492), which cannot share the \
                 transaction of a payment that one signer alone can make",
                Reason::InvalidPermit2Signature,
            ),
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
