//! Bounds on amounts and on how often, and what of them a payment takes up.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Policy, PolicyReason};
use crate::{Address, Amount, Authorization, ChainId, Timestamp};

/// Whose payments a bound counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// All of the tenant's.
    Account,
    /// Those of each payer by itself.
    Payer,
}

/// Bounds on the amounts of one token, in its atomic units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenLimit {
    /// The network.
    pub network: ChainId,
    /// The token.
    pub asset: Address,
    /// Whose payments are counted together.
    pub per: Per,
    /// The most that one payment may be.
    #[serde(default)]
    pub max_per_payment: Option<Amount>,
    /// The most that all of a day may be, in UTC.
    #[serde(default)]
    pub daily: Option<Amount>,
    /// The most that all of a month may be, in UTC.
    #[serde(default)]
    pub monthly: Option<Amount>,
    /// Somebody has to decide on a payment of more than this.
    #[serde(default)]
    pub approve_above: Option<Amount>,
}

/// A bound on how many payments of one payer are approved in each window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Velocity {
    /// So many at most.
    pub payments: u32,
    /// In a window of so many seconds; windows follow each other since the Unix epoch.
    pub window_seconds: u32,
}

/// A stretch of time that a bound counts by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    /// A day in UTC, by its Julian number.
    Day(i32),
    /// A month in UTC: twelve times the year, and the month from 0.
    Month(i32),
    /// The window of this length, in seconds, and this number since the Unix epoch.
    Window(u32, i64),
}

impl Period {
    fn day(now: Timestamp) -> Self {
        Self::Day(now.to_datetime().date().to_julian_day())
    }

    fn month(now: Timestamp) -> Self {
        let date = now.to_datetime().date();
        let month = i32::from(u8::from(date.month()).saturating_sub(1));
        Self::Month(date.year().saturating_mul(12).saturating_add(month))
    }

    fn window(seconds: u32, now: Timestamp) -> Self {
        let seconds = seconds.max(1);
        Self::Window(seconds, now.unix_secs().div_euclid(i64::from(seconds)))
    }
}

/// The name in the ledger.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => write!(f, "day:{day}"),
            Self::Month(month) => write!(f, "month:{month}"),
            Self::Window(seconds, number) => write!(f, "window:{seconds}:{number}"),
        }
    }
}

/// What a payment takes up of a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The payer, where each is counted by itself.
    pub payer: Option<Address>,
    /// The stretch of time.
    pub period: Period,
    /// How much: an amount, or one payment.
    pub amount: Amount,
    /// The most that there may be.
    pub limit: Amount,
    /// The reason if there is more.
    pub reason: PolicyReason,
}

impl Policy {
    /// What a payment that is approved now takes up, in the order in which bounds are read.
    pub fn demands(&self, authorization: &Authorization, now: Timestamp) -> Vec<Demand> {
        let budget = |limit: Option<Amount>, per, period, reason| {
            let payer = (per == Per::Payer).then_some(authorization.payer);
            limit.map(|limit| Demand { payer, period, amount: authorization.amount, limit, reason })
        };
        let limits: Vec<_> = self.limits_of(authorization).collect();
        let daily = limits.iter().filter_map(|limit| {
            let reason = PolicyReason::DailyBudgetExceeded;
            budget(limit.daily, limit.per, Period::day(now), reason)
        });
        let monthly = limits.iter().filter_map(|limit| {
            let reason = PolicyReason::MonthlyBudgetExceeded;
            budget(limit.monthly, limit.per, Period::month(now), reason)
        });
        let velocity = self.velocity.iter().map(|velocity| Demand {
            payer: Some(authorization.payer),
            period: Period::window(velocity.window_seconds, now),
            amount: Amount::from(1),
            limit: Amount::from(u64::from(velocity.payments)),
            reason: PolicyReason::VelocityExceeded,
        });
        daily.chain(monthly).chain(velocity).collect()
    }
}
