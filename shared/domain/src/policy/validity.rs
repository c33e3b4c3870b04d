//! Which policies make sense.

use std::collections::HashSet;

use super::{List, Policy, TokenLimit};

/// The most bounds on amounts in a policy.
const MOST_LIMITS: usize = 100;

/// The most bounds on how often.
const MOST_VELOCITIES: usize = 10;

/// The most entries of one list.
const MOST_LISTED: usize = 1_000;

/// A day and a week, in seconds.
const LONGEST_WINDOW: u32 = 86_400;
const LONGEST_HOLD: u32 = 604_800;

/// Somebody needs so long to see a payment at all, in seconds.
const SHORTEST_HOLD: u32 = 10;

/// A policy that does not make sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pointer} {detail}")]
pub struct InvalidPolicy {
    /// Where, as a JSON pointer.
    pub pointer: String,
    /// What is wrong there.
    pub detail: &'static str,
}

impl Policy {
    /// Whether the policy makes sense as a whole.
    ///
    /// # Errors
    /// [`InvalidPolicy`] with the first place that does not.
    pub fn check(&self) -> Result<(), InvalidPolicy> {
        bounded("hosts", &self.hosts)?;
        bounded("payers", &self.payers)?;
        bounded("pay_to", &self.pay_to)?;
        bounded("assets", &self.assets)?;
        bounded("networks", &self.networks)?;
        most("/limits", self.limits.len(), MOST_LIMITS)?;
        most("/velocity", self.velocity.len(), MOST_VELOCITIES)?;
        let mut seen = HashSet::new();
        for (at, limit) in self.limits.iter().enumerate() {
            let pointer = format!("/limits/{at}");
            if !seen.insert((limit.network, limit.asset, limit.per)) {
                return invalid(pointer, "is of a token that another one is of");
            }
            in_order(&pointer, limit)?;
        }
        let mut windows = HashSet::new();
        for (at, velocity) in self.velocity.iter().enumerate() {
            let pointer = format!("/velocity/{at}");
            if velocity.payments == 0 {
                return invalid(format!("{pointer}/payments"), "must be at least 1");
            }
            if !(1..=LONGEST_WINDOW).contains(&velocity.window_seconds) {
                return invalid(format!("{pointer}/window_seconds"), "must be from 1 to 86400");
            }
            if !windows.insert(velocity.window_seconds) {
                return invalid(pointer, "is of a window that another one is of");
            }
        }
        if !(SHORTEST_HOLD..=LONGEST_HOLD).contains(&self.hold_seconds) {
            return invalid("/hold_seconds".to_owned(), "must be from 10 to 604800");
        }
        Ok(())
    }
}

/// A larger bound may not be on a shorter time: it would never be reached.
fn in_order(pointer: &str, limit: &TokenLimit) -> Result<(), InvalidPolicy> {
    let bounds = [limit.max_per_payment, limit.daily, limit.monthly];
    let named: Vec<_> = bounds.into_iter().flatten().collect();
    if named.is_empty() && limit.approve_above.is_none() {
        return invalid(pointer.to_owned(), "sets no bound");
    }
    if !named.is_sorted() {
        return invalid(
            pointer.to_owned(),
            "must have max_per_payment up to daily, and daily up to monthly",
        );
    }
    Ok(())
}

fn bounded<T>(name: &str, list: &List<T>) -> Result<(), InvalidPolicy> {
    most(&format!("/{name}/allow"), list.allow.len(), MOST_LISTED)?;
    most(&format!("/{name}/deny"), list.deny.len(), MOST_LISTED)
}

fn most(pointer: &str, count: usize, most: usize) -> Result<(), InvalidPolicy> {
    if count > most {
        return invalid(pointer.to_owned(), "has too many entries");
    }
    Ok(())
}

fn invalid(pointer: String, detail: &'static str) -> Result<(), InvalidPolicy> {
    Err(InvalidPolicy { pointer, detail })
}
