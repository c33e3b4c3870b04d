//! What is counted of those who come with a payment.

use metrics::counter;
use runtime::ProblemCode;

use crate::answer::Told;

const SUBMISSIONS: &str = "submissions_total";
const REQUESTS: &str = "payment_requests_total";
const VERIFICATIONS: &str = "payment_verifications_total";
const TAKEN: &str = "x402_total_payments";

/// What a look at a payment at the door came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    Valid,
    Invalid,
}

impl Looked {
    /// What the outcome of checking says.
    pub(crate) const fn by<T, E>(checked: &Result<T, E>) -> Self {
        match checked {
            Ok(_) => Self::Valid,
            Err(_) => Self::Invalid,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
        }
    }
}

/// Shows everything before anybody has come.
pub(crate) fn begin() {
    let told = [Told::Accepted, Told::Replayed, Told::Existing].map(Told::as_str);
    let refused = ProblemCode::ALL.iter().map(|code| code.as_str());
    for outcome in told.into_iter().chain(refused) {
        counter!(SUBMISSIONS, "outcome" => outcome).increment(0);
    }
    for looked in [Looked::Valid, Looked::Invalid] {
        counter!(VERIFICATIONS, "result" => looked.as_str()).increment(0);
    }
    counter!(REQUESTS).increment(0);
    counter!(TAKEN).increment(0);
}

/// Somebody came to have a payment taken, by this service's own API.
pub(crate) fn submitted(outcome: &'static str) {
    counter!(SUBMISSIONS, "outcome" => outcome).increment(1);
}

/// Somebody came with a payment.
pub(crate) fn asked() {
    counter!(REQUESTS).increment(1);
}

/// A look at a payment said this.
pub(crate) fn looked(looked: Looked) {
    counter!(VERIFICATIONS, "result" => looked.as_str()).increment(1);
}

/// Payments were committed.
pub(crate) fn taken(payments: usize) {
    counter!(TAKEN).increment(u64::try_from(payments).unwrap_or(u64::MAX));
}
