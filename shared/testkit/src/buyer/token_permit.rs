//! Permits of tokens beside payments by Permit2.

use domain::{PERMIT2, Signature, TokenPermit, U256};
use serde_json::{Value, json};
use x402::EIP2612_GAS_SPONSORING;

use super::{AuthorizationBuilder, SignedAuthorization};

impl AuthorizationBuilder<'_> {
    /// By Permit2, which the buyer has not let move the token before: with a permit of the token of this
    /// nonce, which is taken as long as the authorization.
    pub fn with_permit(self, nonce: u64) -> Self {
        let deadline = u64::try_from(self.authorization.valid_before - 1).unwrap_or_default();
        self.with_permit_until(nonce, U256::from(deadline))
    }

    /// The same, and it is taken up to this Unix second.
    pub fn with_permit_until(mut self, nonce: u64, deadline: U256) -> Self {
        self.permit = Some((U256::from(nonce), deadline));
        self.by_permit2()
    }
}

impl SignedAuthorization {
    /// The same with another signature of its permit.
    #[must_use]
    pub fn with_permit_signature(self, signature: Signature) -> Self {
        let permit = self.permit.map(|permit| TokenPermit { signature, ..permit });
        Self { permit, ..self }
    }

    /// The permit as stock buyers write it into their payment.
    pub(super) fn sponsoring(&self, permit: &TokenPermit) -> Value {
        let info = json!({
            "from": self.authorization.payer,
            "asset": self.authorization.asset,
            "spender": PERMIT2,
            "amount": self.authorization.amount,
            "nonce": permit.nonce.to_string(),
            "deadline": permit.deadline.to_string(),
            "signature": format!("0x{}", hex::encode(permit.signature.reveal())),
            "version": "1",
        });
        json!({EIP2612_GAS_SPONSORING: {"info": info}})
    }
}
