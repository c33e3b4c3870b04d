//! The open mode: whoever comes without an API key, and how much of them is let in.

use std::collections::HashSet;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use domain::{AccountId, Address, ChainId, Scope};
use queue::{Queue, Quota, RateLimit};
use runtime::Problem;
use runtime::config::{Config, FacilitatorConfig, ListedAddress, OpenLimitsConfig};
use runtime::http::ClientAddress;
use x402::Checked;

use super::Facilitator;
use crate::{SettingsError, refusal};

const MINUTE: Duration = Duration::from_secs(60);

/// What an operator decides about callers without an API key.
#[derive(Clone, Debug)]
pub struct OpenSettings {
    /// Whose payments those are.
    pub account: AccountId,
    /// Whom they may have paid.
    pub payees: Payees,
    /// How often one address may settle.
    pub by_address: Quota,
    /// How often one payee may be settled for.
    pub to_payee: Quota,
    /// How many times as often they may verify.
    pub verifies_per_settle: u32,
    /// How many proxies stand in front.
    pub trusted_proxies: u32,
}

/// Whom callers without an API key may have paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payees {
    /// Everybody.
    All,
    /// These, each on one network or on all.
    Listed(HashSet<(Option<ChainId>, Address)>),
}

impl Payees {
    /// Those that the configuration lists.
    fn from_config(listed: &[ListedAddress]) -> Result<Self, SettingsError> {
        if listed.is_empty() {
            return Ok(Self::All);
        }
        let payee = |listed: &ListedAddress| {
            let chain_id = |id| ChainId::new(id).ok_or(SettingsError::ChainId(id));
            let text = listed.address.as_str();
            let address = text.parse().map_err(|_| SettingsError::Payee(text.to_owned()))?;
            Ok((listed.chain_id.map(chain_id).transpose()?, address))
        };
        listed.iter().map(payee).collect::<Result<_, _>>().map(Self::Listed)
    }

    fn include(&self, chain: ChainId, payee: Address) -> bool {
        match self {
            Self::All => true,
            Self::Listed(listed) => {
                listed.contains(&(None, payee)) || listed.contains(&(Some(chain), payee))
            }
        }
    }
}

impl OpenSettings {
    /// The settings in this configuration, where the facilitator is open.
    ///
    /// # Errors
    /// [`SettingsError`] when the account is none, or a payee cannot be.
    pub fn from_config(config: &Config) -> Result<Option<Self>, SettingsError> {
        let FacilitatorConfig { open_account, payees, open_limits, .. } = &config.facilitator;
        if open_account.is_empty() {
            return Ok(None);
        }
        let account = open_account.parse();
        let OpenLimitsConfig {
            address_per_minute,
            address_burst,
            payee_per_minute,
            payee_burst,
            verifies_per_settle,
        } = *open_limits;
        let quota = |per_period, burst| Quota { per_period, period: MINUTE, burst };
        Ok(Some(Self {
            account: account.map_err(|_| SettingsError::Account(open_account.clone()))?,
            payees: Payees::from_config(payees)?,
            by_address: quota(address_per_minute, address_burst),
            to_payee: quota(payee_per_minute, payee_burst),
            verifies_per_settle,
            trusted_proxies: config.ingress.trusted_proxies,
        }))
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// Whoever has an API key of this account.
    Keyed(AccountId),
    /// Somebody without a key, for whom this account settles.
    Stranger(AccountId),
}

impl Asker {
    /// The account whose payment it is.
    pub(super) const fn account(self) -> AccountId {
        match self {
            Self::Keyed(account) | Self::Stranger(account) => account,
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    Verify,
    Settle,
}

/// How often strangers may ask for one deed.
#[derive(Debug)]
struct DeedLimits {
    by_address: RateLimit,
    to_payee: RateLimit,
}

/// How strangers are let in.
#[derive(Debug)]
pub(super) struct Open {
    settings: OpenSettings,
    verify: DeedLimits,
    settle: DeedLimits,
}

impl Open {
    pub(super) fn new(settings: OpenSettings, queue: &Queue) -> Self {
        let times = |quota: Quota, factor: u32| Quota {
            per_period: quota.per_period.saturating_mul(factor),
            burst: quota.burst.saturating_mul(factor),
            ..quota
        };
        let limits = |deed: &str, factor| DeedLimits {
            by_address: queue
                .rate_limit(&format!("{deed}_address"), times(settings.by_address, factor)),
            to_payee: queue.rate_limit(&format!("{deed}_payee"), times(settings.to_payee, factor)),
        };
        let (verify, settle) =
            (limits("verify", settings.verifies_per_settle), limits("settle", 1));
        Self { settings, verify, settle }
    }

    const fn limits(&self, deed: Deed) -> &DeedLimits {
        match deed {
            Deed::Verify => &self.verify,
            Deed::Settle => &self.settle,
        }
    }
}

/// A stranger asks for a payee who is not listed.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotAPayee;

impl NotAPayee {
    pub(super) const WORDS: &'static str =
        "/paymentRequirements/payTo is not somebody who is paid here without an API key";
}

impl Facilitator {
    /// For whom the caller asks.
    pub(super) async fn asker(&self, headers: &HeaderMap) -> Result<Asker, Problem> {
        if let (Some(open), false) = (&self.0.open, headers.contains_key(AUTHORIZATION)) {
            return Ok(Asker::Stranger(open.settings.account));
        }
        let app = &self.0.app;
        let caller = app.keys().authorize(headers, Scope::PaymentsWrite).await;
        let caller = caller.map_err(|denied| refusal::not_let_in(denied, app.settings()))?;
        Ok(Asker::Keyed(caller.account))
    }

    /// Refuses a stranger from whose address too much is asked.
    pub(super) async fn heed_address(
        &self,
        asker: Asker,
        deed: Deed,
        head: &Parts,
    ) -> Result<(), Problem> {
        let (Some(open), Asker::Stranger(_)) = (&self.0.open, asker) else { return Ok(()) };
        let client = ClientAddress::of(head, open.settings.trusted_proxies);
        self.heed("address", &open.limits(deed).by_address, &client.to_string()).await
    }

    /// Refuses a stranger for whose payee too much is asked.
    pub(super) async fn heed_payee(
        &self,
        asker: Asker,
        deed: Deed,
        checked: &Checked,
    ) -> Result<(), Problem> {
        let (Some(open), Asker::Stranger(_)) = (&self.0.open, asker) else { return Ok(()) };
        let payee = format!("{:#x}", checked.authorization.pay_to);
        self.heed("payee", &open.limits(deed).to_payee, &payee).await
    }

    async fn heed(
        &self,
        policy: &'static str,
        limit: &RateLimit,
        subject: &str,
    ) -> Result<(), Problem> {
        let verdict = limit.take(subject, 1).await;
        if verdict.allowed {
            return Ok(());
        }
        let now = self.0.app.now().unix_secs();
        let allowance = access::allowance(policy, limit.quota(), &verdict, now);
        let words = format!("Too many requests without an API key, by {policy}: nothing was taken");
        Err(Problem::rate_limited(allowance, access::begun_seconds(verdict.retry_after))
            .detail(words))
    }

    /// Whether the asker may have this payee paid.
    pub(super) fn admits(&self, asker: Asker, checked: &Checked) -> Result<(), NotAPayee> {
        let (Some(open), Asker::Stranger(_)) = (&self.0.open, asker) else { return Ok(()) };
        let authorization = &checked.authorization;
        match open.settings.payees.include(authorization.chain, authorization.pay_to) {
            true => Ok(()),
            false => Err(NotAPayee),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payee_is_listed_for_one_network_or_for_all() {
        let payee = |text: &str| ListedAddress::parse(text).unwrap();
        let (one, other) = (format!("0x{}", "1f".repeat(20)), format!("0x{}", "2e".repeat(20)));
        let listed = [payee(&one), payee(&format!("eip155:8453:{other}"))];
        let payees = Payees::from_config(&listed).unwrap();
        let includes =
            |chain, text: &str| payees.include(ChainId::new(chain).unwrap(), text.parse().unwrap());
        assert!(includes(8_453, &one) && includes(1, &one) && includes(8_453, &other));
        assert!(!includes(1, &other) && !includes(8_453, &format!("0x{}", "3d".repeat(20))));
        assert_eq!(Payees::from_config(&[]), Ok(Payees::All));
    }
}
