//! The extension `eip2612GasSponsoring`: beside an authorization for Permit2, its payer signs a permit
//! of the token (EIP-2612), so that Permit2 may move the money without a transaction of the payer's.

use std::fmt;

use alloy_primitives::{Keccak256, U256};
use alloy_sol_types::{SolStruct, sol};
use domain::{Authorization, B256, PERMIT2, Signature, TokenPermit};

use crate::part::Part;
use crate::{PayerSignature, Reason, Refusal, RefusalKind, TokenDomain};

/// What x402 calls it.
pub const EIP2612_GAS_SPONSORING: &str = "eip2612GasSponsoring";

/// Where it stands in a payment.
const PATH: &str = "/extensions/eip2612GasSponsoring/info";
const POINTER: &str = "/paymentPayload/extensions/eip2612GasSponsoring/info";

/// What a buyer writes there. A server's own words, which buyers who sign nothing repeat, are none of
/// these.
const SIGNED: [&str; 7] =
    ["/from", "/asset", "/spender", "/amount", "/nonce", "/deadline", "/signature"];

sol! {
    struct Permit {
        address owner;
        address spender;
        uint256 value;
        uint256 nonce;
        uint256 deadline;
    }
}

impl TokenDomain {
    /// The digest that the payer signs to let Permit2 move the amount of this authorization, which
    /// must be one about this token.
    pub fn permit_digest(&self, of: &Authorization, nonce: U256, deadline: U256) -> B256 {
        let message =
            Permit { owner: of.payer, spender: PERMIT2, value: of.amount.units(), nonce, deadline };
        let mut hasher = Keccak256::new();
        hasher.update([0x19, 0x01]);
        hasher.update(self.separator());
        hasher.update(message.eip712_hash_struct());
        hasher.finalize()
    }
}

/// The permit that came beside an authorization for Permit2, if one did: about the same token, payer
/// and amount, and taken at `earliest`, a Unix second, and later.
///
/// Where the payer's key made the authorization (`is_proven`), it must have made the permit too.
/// Otherwise the payer may be a contract wallet, which only the token can ask.
pub(crate) fn read(
    payment: &Part<'_>,
    domain: &TokenDomain,
    (authorization, is_proven): (&Authorization, bool),
    earliest: i64,
) -> Result<Option<TokenPermit>, Refusal> {
    let blame = Reason::InvalidEip2612Extension;
    let Some(info) = payment.optional_part(PATH, POINTER, blame)? else { return Ok(None) };
    if !SIGNED.iter().any(|member| info.has(member)) {
        return Ok(None);
    }
    if info.text("/version")? != "1" {
        return Err(info.malformed("/version", "must be \"1\""));
    }
    is_about(&info, authorization)?;
    let nonce = info.amount("/nonce")?.units();
    let deadline = info.amount("/deadline")?.units();
    if deadline < U256::from(u64::try_from(earliest).unwrap_or_default()) {
        let (kind, reason) = (RefusalKind::AuthorizationExpired, Reason::Eip2612DeadlineExpired);
        return Err(info.refuse(kind, "/deadline", "leaves too little time to settle it", reason));
    }
    let digest = domain.permit_digest(authorization, nonce, deadline);
    let signature = signature(&info, digest, (authorization, is_proven))?;
    Ok(Some(TokenPermit { nonce, deadline, signature }))
}

/// Refuses a permit of another payer or token, or by which something else than Permit2 may move the
/// money, or another amount: x402's proxy takes none but the payment's.
fn is_about(info: &Part<'_>, authorization: &Authorization) -> Result<(), Refusal> {
    let Authorization { payer, asset, amount, .. } = *authorization;
    let differs = |kind, path, expected: &dyn fmt::Display, reason| {
        Err(info.refuse(kind, path, format!("is not {expected}, as in the payment"), reason))
    };
    if info.address("/from")? != payer {
        let (kind, reason) = (RefusalKind::InvalidSignature, Reason::Eip2612FromMismatch);
        return differs(kind, "/from", &payer, reason);
    }
    if info.address("/asset")? != asset {
        let (kind, reason) = (RefusalKind::AssetMismatch, Reason::Eip2612AssetMismatch);
        return differs(kind, "/asset", &asset, reason);
    }
    if info.address("/spender")? != PERMIT2 {
        let (kind, reason) = (RefusalKind::SchemeMismatch, Reason::Eip2612SpenderNotPermit2);
        return differs(kind, "/spender", &PERMIT2, reason);
    }
    if info.amount("/amount")? != amount {
        let (kind, reason) = (RefusalKind::AmountMismatch, Reason::Permit2612AmountMismatch);
        return differs(kind, "/amount", &amount, reason);
    }
    Ok(())
}

fn signature(
    info: &Part<'_>,
    digest: B256,
    (authorization, is_proven): (&Authorization, bool),
) -> Result<Signature, Refusal> {
    const AT: &str = "/signature";
    let bytes = info.bytes(AT)?.filter(|bytes| bytes.len() == TokenPermit::SIGNATURE_BYTES);
    let bytes = bytes.ok_or_else(|| info.malformed(AT, "must be 0x and 130 hexadecimal digits"))?;
    match PayerSignature::parse(&bytes) {
        Ok(own) if own.signer(digest) == Some(authorization.payer) => Ok(own.normalized()),
        Ok(_) | Err(_) if !is_proven => Ok(Signature::new(bytes)),
        Ok(_) => {
            let (kind, reason) = (RefusalKind::InvalidSignature, Reason::InvalidEip2612Extension);
            Err(info.refuse(kind, AT, "is not the payer's over this permit of this token", reason))
        }
        Err(fault) => Err(info.malformed(AT, fault.to_string())),
    }
}
