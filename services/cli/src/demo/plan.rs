//! The two hundred payments: the same ones, in the same order, each time.

use domain::{Address, Amount, Authorization, B256, FailureCode, TransferMethod};
use runtime::{ProblemCode, random_bytes};
use x402::Asset;

use super::buyer::Buyer;
use super::request::{Form, Order};
use crate::failure::Failure;

/// How many payments are posted.
pub(crate) const PAYMENTS: usize = 200;

/// Each fifth payment is a bad one.
const BAD_EVERY: usize = 5;

/// A cent, in atomic units. Each payment is of another amount, so that none is taken for another.
const CENT: u64 = 10_000;

/// How long the authorizations are good for: longer than any demo lasts.
const VALIDITY_SECS: i64 = 30 * 60;

/// What is wrong with a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Signed for less than the seller asks.
    WrongAmount,
    /// Signed to somebody else.
    WrongRecipient,
    /// Its time is over.
    Expired,
    /// Signed by somebody else.
    ForgedSignature,
    /// Signed by a buyer without money.
    EmptyWallet,
}

impl Flaw {
    const ALL: [Self; 5] = [
        Self::WrongAmount,
        Self::WrongRecipient,
        Self::Expired,
        Self::ForgedSignature,
        Self::EmptyWallet,
    ];
}

/// How often a payment is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Posting {
    /// Once.
    Once,
    /// So many times at the same moment, each time in another form and under another key.
    AtOnce(usize),
    /// Once, and the same request under the same key once more when it was answered.
    Again,
}

/// What a payment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Payable.
    Good(Posting),
    /// Not payable.
    Bad(Flaw),
}

/// What has to become of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expectation {
    /// Refused when it is posted: no payment ever.
    Refused(ProblemCode),
    /// Accepted, and rejected before anything is broadcast.
    Rejected(FailureCode),
    /// Accepted and settled.
    Settled,
}

impl Kind {
    /// The kind of the payment of this number.
    fn of(number: usize) -> Self {
        if number % BAD_EVERY == BAD_EVERY - 1 {
            return Self::Bad(Flaw::ALL[number / BAD_EVERY % Flaw::ALL.len()]);
        }
        Self::Good(match number % 16 {
            2 | 7 => Posting::AtOnce(2),
            5 => Posting::AtOnce(3),
            12 => Posting::Again,
            _ => Posting::Once,
        })
    }

    pub(crate) const fn expectation(self) -> Expectation {
        match self {
            Self::Good(_) => Expectation::Settled,
            Self::Bad(Flaw::WrongAmount) => Expectation::Refused(ProblemCode::AmountMismatch),
            Self::Bad(Flaw::WrongRecipient) => Expectation::Refused(ProblemCode::RecipientMismatch),
            Self::Bad(Flaw::Expired) => Expectation::Refused(ProblemCode::AuthorizationExpired),
            Self::Bad(Flaw::ForgedSignature) => {
                Expectation::Rejected(FailureCode::InvalidSignature)
            }
            Self::Bad(Flaw::EmptyWallet) => Expectation::Rejected(FailureCode::InsufficientFunds),
        }
    }

    pub(crate) const fn posting(self) -> Posting {
        match self {
            Self::Good(posting) => posting,
            Self::Bad(_) => Posting::Once,
        }
    }

    /// The kind in a few words, for the table.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Good(Posting::Once) => "good",
            Self::Good(Posting::AtOnce(2)) => "good, twice at once",
            Self::Good(Posting::AtOnce(_)) => "good, three times at once",
            Self::Good(Posting::Again) => "good, sent again",
            Self::Bad(Flaw::WrongAmount) => "wrong amount",
            Self::Bad(Flaw::WrongRecipient) => "wrong recipient",
            Self::Bad(Flaw::Expired) => "expired",
            Self::Bad(Flaw::ForgedSignature) => "forged signature",
            Self::Bad(Flaw::EmptyWallet) => "empty wallet",
        }
    }
}

/// One payment to be posted.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    /// Its place in the plan, from 0.
    pub(crate) number: usize,
    /// What it is.
    pub(crate) kind: Kind,
    /// The buyer's payment and the seller's terms.
    pub(crate) order: Order,
}

impl Planned {
    /// The forms in which it is posted at the same moment.
    pub(crate) fn forms(&self) -> Vec<Form> {
        let times = match self.kind.posting() {
            Posting::Once | Posting::Again => 1,
            Posting::AtOnce(times) => times,
        };
        (0..times).map(|more| Form::of(self.number + more)).collect()
    }
}

/// Who takes part.
pub(crate) struct Cast<'a> {
    pub(crate) token: &'a Asset,
    /// The seller's address.
    pub(crate) pay_to: Address,
    /// Buyers with money; they pay in turn.
    pub(crate) buyers: &'a [Buyer],
    /// A buyer without.
    pub(crate) pauper: &'a Buyer,
    /// The time, in Unix seconds.
    pub(crate) now: i64,
}

impl Cast<'_> {
    /// Every payment, signed.
    pub(crate) fn plan(&self) -> Result<Vec<Planned>, Failure> {
        (0..PAYMENTS).map(|number| self.payment(number, Kind::of(number))).collect()
    }

    /// The payment of this number, signed as its kind has it.
    pub(crate) fn payment(&self, number: usize, kind: Kind) -> Result<Planned, Failure> {
        let price = CENT + u64::try_from(number).unwrap_or_default();
        let richer = &self.buyers[number % self.buyers.len()];
        let (mut payer, mut signer) = (richer, richer);
        let mut authorization = Authorization {
            method: TransferMethod::Eip3009,
            chain: self.token.chain,
            asset: self.token.address,
            payer: payer.address(),
            pay_to: self.pay_to,
            amount: price.into(),
            valid_after: 0,
            valid_before: self.now + VALIDITY_SECS,
            nonce: B256::from(random_bytes::<32>()),
        };
        match kind {
            Kind::Good(_) => {}
            Kind::Bad(Flaw::WrongAmount) => authorization.amount = (price - 1).into(),
            Kind::Bad(Flaw::WrongRecipient) => authorization.pay_to = self.pauper.address(),
            Kind::Bad(Flaw::Expired) => authorization.valid_before = self.now - 1,
            Kind::Bad(Flaw::ForgedSignature) => signer = self.pauper,
            Kind::Bad(Flaw::EmptyWallet) => (payer, signer) = (self.pauper, self.pauper),
        }
        authorization.payer = payer.address();
        let order = Order {
            token: self.token.clone(),
            price: Amount::from(price),
            pay_to: self.pay_to,
            signature: signer.sign(self.token, &authorization)?,
            authorization,
            reference: format!("demo-{number:03}"),
        };
        Ok(Planned { number, kind, order })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use domain::ChainId;
    use serde::Deserialize;
    use x402::{Assets, Limits, Methods, SettleRequest, Wallets, check};

    use super::*;

    const NOW: i64 = 1_772_366_400;

    fn plan() -> (Asset, Vec<Planned>) {
        let token = Asset {
            chain: ChainId::new(84_532).unwrap(),
            address: Address::repeat_byte(1),
            name: "USDC".to_owned(),
            version: "2".to_owned(),
            methods: Methods::EIP3009,
        };
        let buyers = [Buyer::new(), Buyer::new()];
        let pauper = Buyer::new();
        let pay_to = Address::repeat_byte(2);
        let cast = Cast { token: &token, pay_to, buyers: &buyers, pauper: &pauper, now: NOW };
        let plan = cast.plan().unwrap();
        (token, plan)
    }

    #[test]
    fn every_kind_of_payment_is_among_the_two_hundred() {
        let (_, plan) = plan();
        let count = |wanted: fn(&Kind) -> bool| plan.iter().filter(|p| wanted(&p.kind)).count();
        assert_eq!(plan.len(), 200);
        assert_eq!(count(|kind| matches!(kind, Kind::Good(_))), 160);
        for flaw in Flaw::ALL {
            assert_eq!(plan.iter().filter(|p| p.kind == Kind::Bad(flaw)).count(), 8, "{flaw:?}");
        }
        assert!(count(|kind| matches!(kind, Kind::Good(Posting::AtOnce(2)))) >= 10);
        assert!(count(|kind| matches!(kind, Kind::Good(Posting::AtOnce(3)))) >= 5);
        assert!(count(|kind| matches!(kind, Kind::Good(Posting::Again))) >= 5);
    }

    #[test]
    fn every_form_of_a_payment_meets_its_expectation_at_the_door() {
        let (token, plan) = plan();
        let assets = Assets::new([token]);
        let wallets = Wallets::Taken { factories: HashSet::new() };
        let limits = Limits { min_validity_secs: 6, max_validity_secs: 3_600 };
        for planned in plan {
            for form in Form::ALL {
                let request = SettleRequest::deserialize(planned.order.body(form)).unwrap();
                let taken = check(&request, &assets, &limits, &wallets, NOW).is_ok();
                let refused = matches!(planned.kind.expectation(), Expectation::Refused(_));
                assert_eq!(taken, !refused, "{:?} as {form:?}", planned.kind);
            }
        }
    }
}
