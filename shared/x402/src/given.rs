//! The bytes that came as the payer's signature, read as far as they can be.

use domain::Signature;

use crate::erc6492::WrappedSignature;
use crate::part::Part;
use crate::signature::SignatureFault;
use crate::{PayerSignature, Reason, Refusal, RefusalKind, Wallets};

/// What came as the payer's signature.
pub(crate) enum Given {
    /// A key pair's, and nobody else's.
    KeyPair(PayerSignature),
    /// In the form of a key pair's, as a contract wallet's owner may make one too: read, and as it
    /// came.
    Either(PayerSignature, Signature),
    /// Nothing that a key pair makes.
    Contract(Signature),
    /// Of a wallet that may be yet to be deployed: read, and as it came.
    Undeployed(WrappedSignature, Signature),
}

impl Given {
    /// Reads the signature at `path` of the payment.
    pub(crate) fn read(part: &Part<'_>, path: &str, wallets: &Wallets) -> Result<Self, Refusal> {
        let unreadable = |detail: String| {
            part.refuse(RefusalKind::MalformedField, path, detail, Reason::UnreadableSignature)
        };
        let bytes = part.bytes(path)?.ok_or_else(|| {
            unreadable("must be 0x and hexadecimal digits, of at most 8192 bytes".to_owned())
        })?;
        match wallets {
            Wallets::Refused => {
                let refuse = |fault| of_no_key_pair(part, path, fault);
                return PayerSignature::parse(&bytes).map(Self::KeyPair).map_err(refuse);
            }
            Wallets::Taken { .. } => {}
        }
        if bytes.is_empty() {
            return Err(unreadable("must not be empty".to_owned()));
        }
        let wrapped = WrappedSignature::parse(&bytes);
        let wrapped = wrapped.map_err(|error| unreadable(error.to_string()))?;
        let (own, bytes) = (PayerSignature::parse(&bytes), Signature::new(bytes));
        Ok(match (wrapped, own) {
            (Some(wrapped), _) => Self::Undeployed(wrapped, bytes),
            (None, Ok(own)) => Self::Either(own, bytes),
            (None, Err(_)) => Self::Contract(bytes),
        })
    }
}

fn of_no_key_pair(part: &Part<'_>, path: &str, fault: SignatureFault) -> Refusal {
    use SignatureFault::{BadParity, ContractWallet, HighS, Undeployed};
    let (kind, reason) = match fault {
        Undeployed => (RefusalKind::UnsupportedSignature, Reason::Eip6492FactoryNotAllowed),
        ContractWallet => (RefusalKind::UnsupportedSignature, Reason::InvalidSignature),
        BadParity | HighS => (RefusalKind::InvalidSignature, Reason::InvalidSignature),
    };
    part.refuse(kind, path, fault.to_string(), reason)
}
