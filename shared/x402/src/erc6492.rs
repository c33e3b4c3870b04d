//! Signatures of contract wallets that are yet to be deployed (ERC-6492).

use alloy_primitives::{Bytes, b256};
use alloy_sol_types::{SolType, sol_data};
use domain::{Address, B256, Signature};

/// What such a signature ends with.
const SUFFIX: B256 = b256!("0x6492649264926492649264926492649264926492649264926492649264926492");

/// The factory, what it is called with, and the signature that the wallet then takes.
type Wrap = (sol_data::Address, sol_data::Bytes, sol_data::Bytes);

/// A signature together with the call that deploys the wallet which is to judge it.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedSignature {
    /// The contract that deploys the wallet.
    pub factory: Address,
    /// What the factory is called with.
    pub factory_call: Bytes,
    /// What the wallet is shown once it is there.
    pub inner: Signature,
}

/// Bytes that end as a wrapped signature does, and are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ends as ERC-6492 says, and does not hold a factory, its call and a signature before that")]
pub struct MalformedWrap;

impl WrappedSignature {
    /// Reads a wrapped signature; `None` when these bytes do not end as one. There is one way to
    /// write each, as ABI encoders do; the factory is not the zero address, and what is inside is
    /// not wrapped again.
    ///
    /// # Errors
    /// [`MalformedWrap`] when they end as one and are none.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, MalformedWrap> {
        let Some(wrap) = bytes.strip_suffix(SUFFIX.as_slice()) else { return Ok(None) };
        let read = Wrap::abi_decode_params_validate(wrap).map_err(|_| MalformedWrap)?;
        if Wrap::abi_encode_params(&read) != wrap {
            return Err(MalformedWrap);
        }
        let (factory, factory_call, inner) = read;
        if factory.is_zero() || inner.ends_with(SUFFIX.as_slice()) {
            return Err(MalformedWrap);
        }
        Ok(Some(Self { factory, factory_call, inner: Signature::new(inner.into()) }))
    }

    /// The bytes in which it travels.
    pub fn to_signature(&self) -> Signature {
        let inner = Bytes::copy_from_slice(self.inner.reveal());
        let mut bytes = Wrap::abi_encode_params(&(self.factory, self.factory_call.clone(), inner));
        bytes.extend_from_slice(SUFFIX.as_slice());
        Signature::new(bytes)
    }

    /// Whether these bytes end as a wrapped signature does.
    pub(crate) fn is_claimed_by(bytes: &[u8]) -> bool {
        bytes.ends_with(SUFFIX.as_slice())
    }
}

impl std::fmt::Debug for WrappedSignature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WrappedSignature").field("factory", &self.factory).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrapped() -> WrappedSignature {
        WrappedSignature {
            factory: Address::repeat_byte(0xfa),
            factory_call: Bytes::from_static(b"deploy it"),
            inner: Signature::new(vec![7; 65]),
        }
    }

    /// The bytes of a wrap with one of them set.
    fn with_byte(at: usize, byte: u8) -> Vec<u8> {
        let mut bytes = wrapped().to_signature().reveal().to_vec();
        *bytes.get_mut(at).unwrap() = byte;
        bytes
    }

    #[test]
    fn what_does_not_end_as_one_is_none() {
        for bytes in
            [vec![], vec![1; 65], SUFFIX.iter().skip(1).copied().collect(), with_byte(319, 0)]
        {
            assert_eq!(WrappedSignature::parse(&bytes), Ok(None));
        }
    }

    #[test]
    fn whatever_is_not_written_as_encoders_do_is_malformed() {
        let zero = WrappedSignature { factory: Address::ZERO, ..wrapped() };
        let twice = WrappedSignature { inner: wrapped().to_signature(), ..wrapped() };
        let whole = wrapped().to_signature().reveal().to_vec();
        let longer = [&[0; 32], whole.as_slice()].concat();
        for (bytes, what) in [
            (SUFFIX.to_vec(), "nothing inside"),
            ([vec![1; 100], SUFFIX.to_vec()].concat(), "rubbish inside"),
            (zero.to_signature().reveal().to_vec(), "no factory"),
            (twice.to_signature().reveal().to_vec(), "wrapped twice"),
            (longer, "a word before it"),
            (whole.iter().skip(32).copied().collect(), "a word too few"),
            (with_byte(0, 1), "an address that is longer than one"),
            (with_byte(63, 0x80), "an offset that is not the first free place"),
            (with_byte(62, 0xff), "an offset beyond the end"),
            (with_byte(127, 0xff), "a length beyond the end"),
            (with_byte(159, 1), "padding that is not zero"),
        ] {
            assert_eq!(WrappedSignature::parse(&bytes), Err(MalformedWrap), "{what}");
        }
    }

    proptest! {
        #[test]
        fn every_wrap_reads_back_as_it_was_written(
            factory: [u8; 20], call: Vec<u8>, inner: Vec<u8>,
        ) {
            prop_assume!(factory != [0; 20]);
            let wrapped = WrappedSignature {
                factory: factory.into(),
                factory_call: call.into(),
                inner: Signature::new(inner),
            };
            let bytes = wrapped.to_signature();
            prop_assert_eq!(WrappedSignature::parse(bytes.reveal()), Ok(Some(wrapped)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let ended = [bytes.as_slice(), SUFFIX.as_slice()].concat();
            let _read = (WrappedSignature::parse(&bytes), WrappedSignature::parse(&ended));
        }

        #[test]
        fn what_reads_is_written_in_one_way_alone(at in 0usize..300, flip in 1u8..=255) {
            let mut bytes = wrapped().to_signature().reveal().to_vec();
            *bytes.get_mut(at).unwrap() ^= flip;
            if let Ok(Some(read)) = WrappedSignature::parse(&bytes) {
                let again = read.to_signature();
                prop_assert_eq!(again.reveal(), bytes.as_slice());
            }
        }
    }
}
