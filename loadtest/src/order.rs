//! What is posted: signed beforehand, good and bad.

use std::thread;

use bytes::Bytes;
use domain::Address;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use testkit::Buyer;
use x402::Version;

/// What a request is, which says how it has to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A payment that nobody has posted.
    Good,
    /// One that was posted already, or is at this moment.
    Repeated,
    /// Signed by somebody else than the payer.
    Forged,
    /// Its time is over.
    Expired,
    /// Not JSON.
    Malformed,
}

impl Kind {
    pub(crate) const BAD: [Self; 3] = [Self::Forged, Self::Expired, Self::Malformed];

    /// Whether this status and code are a right answer.
    pub(crate) fn fits(self, status: u16, code: Option<&str>) -> bool {
        match self {
            Self::Good => status == 202,
            // Whichever of them comes first is new.
            Self::Repeated => matches!(status, 200 | 202),
            Self::Forged => (status, code) == (422, Some("invalid_signature")),
            Self::Expired => (status, code) == (422, Some("authorization_expired")),
            Self::Malformed => (status, code) == (400, Some("malformed_json")),
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) kind: Kind,
    pub(crate) body: Bytes,
    /// Which of the sellers posts it.
    pub(crate) seller: usize,
}

/// Who pays whom.
#[derive(Debug)]
pub(crate) struct Market {
    pub(crate) buyers: Vec<Buyer>,
    /// Where each seller is paid.
    pub(crate) pay_to: Vec<Address>,
}

/// The sellers share the payments, and so do the buyers.
const SELLERS: usize = 4;
const BUYERS: usize = 200;

impl Market {
    /// Buyers whom nobody knows, and sellers of their own.
    pub(crate) fn of_strangers() -> Self {
        let seller = |number| Address::with_last_byte(number) | Address::repeat_byte(0xa0);
        Self {
            buyers: (0..BUYERS).map(|_| Buyer::new()).collect(),
            pay_to: (1..).map(seller).take(SELLERS).collect(),
        }
    }

    /// The buyers' addresses.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        self.buyers.iter().map(Buyer::address).collect()
    }
}

/// What to post, in per cent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mix {
    pub(crate) repeated: u32,
    pub(crate) bad: u32,
}

/// Atomic units of each payment.
const AMOUNT: u64 = 1_000;

/// Longer than any run.
const VALID_SECS: i64 = 3_000;

/// Signs so many orders on all cores. Which are bad, and which repeat an earlier one, is the same
/// for the same seed.
pub(crate) fn sign(market: &Market, count: usize, mix: Mix, seed: u64) -> Vec<Order> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let share = count.div_ceil(cores).max(1);
    let mut dice = StdRng::seed_from_u64(seed);
    let mut orders: Vec<Order> = thread::scope(|scope| {
        let parts: Vec<_> = (0..count)
            .step_by(share)
            .map(|from| {
                scope.spawn(move || {
                    (from..count.min(from + share)).map(|n| one(market, n)).collect::<Vec<_>>()
                })
            })
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    for at in 0..orders.len() {
        let draw = dice.random_range(0..100u32);
        if draw < mix.bad {
            let kind = Kind::BAD[dice.random_range(0..Kind::BAD.len())];
            orders[at] = spoilt(market, at, kind);
        } else if draw < mix.bad + mix.repeated && at > 0 {
            let earlier = &orders[dice.random_range(0..at)];
            if matches!(earlier.kind, Kind::Good | Kind::Repeated) {
                orders[at] = Order { kind: Kind::Repeated, ..earlier.clone() };
            }
        }
    }
    orders
}

/// Each of these so many times, one right after the other.
pub(crate) fn repeat(orders: Vec<Order>, times: usize) -> Vec<Order> {
    let each = |order: Order| std::iter::repeat_n(Order { kind: Kind::Repeated, ..order }, times);
    orders.into_iter().flat_map(each).collect()
}

fn one(market: &Market, number: usize) -> Order {
    let seller = number % market.pay_to.len();
    let buyer = &market.buyers[number % market.buyers.len()];
    let authorization = buyer.authorize().pay_to(market.pay_to[seller]).amount(AMOUNT);
    let body = authorization.valid_for(VALID_SECS).sign().body(Version::V2).to_string();
    Order { kind: Kind::Good, body: body.into(), seller }
}

fn spoilt(market: &Market, number: usize, kind: Kind) -> Order {
    let seller = number % market.pay_to.len();
    let buyer = &market.buyers[number % market.buyers.len()];
    let authorization = buyer.authorize().pay_to(market.pay_to[seller]).amount(AMOUNT);
    let body = match kind {
        Kind::Malformed => "{\"x402Version\": 2, ".to_owned(),
        Kind::Expired => authorization.valid_for(-60).sign().body(Version::V2).to_string(),
        Kind::Forged | Kind::Good | Kind::Repeated => {
            let mut signed = authorization.valid_for(VALID_SECS).sign();
            signed.authorization.nonce = domain::B256::repeat_byte(0x0f);
            signed.body(Version::V2).to_string()
        }
    };
    Order { kind, body: body.into(), seller }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::*;

    fn market() -> Market {
        let buyers = (0..3).map(|_| Buyer::new()).collect();
        Market { buyers, pay_to: vec![Address::repeat_byte(1), Address::repeat_byte(2)] }
    }

    #[test]
    fn a_mix_has_the_shares_that_were_asked_for() {
        let orders = sign(&market(), 1_000, Mix { repeated: 20, bad: 10 }, 1);
        let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
        for order in &orders {
            *kinds.entry(order.kind).or_default() += 1;
        }
        let bad: usize = Kind::BAD.iter().map(|kind| kinds[kind]).sum();
        assert!((70..130).contains(&bad), "{kinds:?}");
        assert!((130..230).contains(&kinds[&Kind::Repeated]), "{kinds:?}");
    }

    #[test]
    fn good_payments_are_all_different_and_repeated_ones_are_not() {
        let orders = sign(&market(), 200, Mix { repeated: 30, bad: 0 }, 2);
        let of = |kind| orders.iter().filter(move |order| order.kind == kind);
        let good: HashSet<&Bytes> = of(Kind::Good).map(|order| &order.body).collect();
        assert_eq!(good.len(), of(Kind::Good).count());
        assert!(of(Kind::Repeated).all(|order| good.contains(&order.body)));
    }

    #[test]
    fn each_kind_has_its_own_right_answer() {
        for (kind, status, code, fits) in [
            (Kind::Good, 202, None, true),
            (Kind::Good, 200, None, false),
            (Kind::Repeated, 200, None, true),
            (Kind::Forged, 422, Some("invalid_signature"), true),
            (Kind::Forged, 202, None, false),
            (Kind::Expired, 422, Some("invalid_signature"), false),
            (Kind::Malformed, 400, Some("malformed_json"), true),
            (Kind::Good, 503, Some("accept_unavailable"), false),
        ] {
            assert_eq!(kind.fits(status, code), fits, "{kind:?} {status}");
        }
    }
}
