//! How often who may ask for what.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::Method;
use queue::Quota;
use runtime::config::{Config, LimitsConfig};

use crate::keys::GoodKey;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// How many seconds' worth a key may send at once.
const KEY_BURST_SECS: u32 = 2;

/// What part of a minute's worth strangers may send at once.
const ANONYMOUS_BURST_SHARE: u32 = 6;

/// What an operator decides about how often both APIs may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// What brings payments, and what is told of them, by one key.
    pub submit: Quota,
    /// What reads, by one key.
    pub read: Quota,
    /// What changes anything else, by one key.
    pub change: Quota,
    /// What comes from one address without a good key.
    pub anonymous: Quota,
    /// Keys from one address that have to be looked up and are not good.
    pub guesses: Quota,
    /// How many proxies stand in front.
    pub trusted_proxies: u32,
}

/// What is asked for, as far as limits tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Submit,
    Read,
    Change,
}

impl LimitSettings {
    /// The settings in this configuration.
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        let LimitsConfig {
            submit_per_second,
            read_per_second,
            change_per_second,
            anonymous_per_minute,
            guesses_per_minute,
        } = config.limits;
        let anonymous_burst = anonymous_per_minute.div_ceil(ANONYMOUS_BURST_SHARE);
        Self {
            submit: each_second(submit_per_second),
            read: each_second(read_per_second),
            change: each_second(change_per_second),
            anonymous: each_minute(anonymous_per_minute, anonymous_burst),
            guesses: each_minute(guesses_per_minute, guesses_per_minute),
            trusted_proxies: config.ingress.trusted_proxies,
        }
    }

    /// The quota of a key for one kind of request, and whose bucket it takes from.
    pub(crate) fn of_key(&self, key: &GoodKey, kind: Kind) -> (Quota, String) {
        let name = kind.as_str();
        match key.requests_per_second {
            Some(count) => {
                (each_second(NonZeroU32::get(count)), format!("{name} {}", key.caller.account))
            }
            None => (self.quota(kind), format!("{name} {}", key.caller.key)),
        }
    }

    const fn quota(&self, kind: Kind) -> Quota {
        match kind {
            Kind::Submit => self.submit,
            Kind::Read => self.read,
            Kind::Change => self.change,
        }
    }
}

fn each_second(per_period: u32) -> Quota {
    Quota { per_period, period: SECOND, burst: per_period.saturating_mul(KEY_BURST_SECS) }
}

const fn each_minute(per_period: u32, burst: u32) -> Quota {
    Quota { per_period, period: MINUTE, burst }
}

impl Kind {
    /// What a request asks for. A path that is not ours is read, too.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        let brings = matches!(path, "/v1/payments" | "/settle" | "/verify");
        match *method {
            Method::GET | Method::HEAD | Method::OPTIONS => Self::Read,
            Method::POST if brings || path.starts_with("/risk/") => Self::Submit,
            _ => Self::Change,
        }
    }

    /// The limit's name, as clients are told it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Read => "read",
            Self::Change => "change",
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{AccountId, ApiKeyId};

    use super::*;
    use crate::Caller;

    #[test]
    fn what_is_asked_for_is_told_by_method_and_path() {
        for (method, path, kind) in [
            (Method::POST, "/v1/payments", Kind::Submit),
            (Method::POST, "/settle", Kind::Submit),
            (Method::POST, "/verify", Kind::Submit),
            (Method::POST, "/risk/trace", Kind::Submit),
            (Method::GET, "/v1/payments", Kind::Read),
            (Method::GET, "/risk/session/1", Kind::Read),
            (Method::HEAD, "/docs", Kind::Read),
            (Method::POST, "/v1/payments/pay_1/cancel", Kind::Change),
            (Method::PUT, "/v1/risk/policy", Kind::Change),
            (Method::DELETE, "/v1/webhook_endpoints/we_1", Kind::Change),
        ] {
            assert_eq!(Kind::of(&method, path), kind, "{method} {path}");
        }
    }

    #[test]
    fn keys_of_an_account_with_a_number_of_its_own_share_it_and_others_have_their_own_bucket() {
        let minute = each_minute(60, 10);
        let settings = LimitSettings {
            submit: each_second(10),
            read: each_second(20),
            change: each_second(5),
            anonymous: minute,
            guesses: minute,
            trusted_proxies: 0,
        };
        let account = AccountId::new(runtime::new_uuid());
        let key = |requests_per_second| GoodKey {
            caller: Caller { account, key: ApiKeyId::new(runtime::new_uuid()) },
            requests_per_second,
        };
        let (one, other) = (key(None), key(None));
        assert_eq!(settings.of_key(&one, Kind::Read).0, each_second(20));
        assert_ne!(settings.of_key(&one, Kind::Read).1, settings.of_key(&other, Kind::Read).1);
        assert_ne!(settings.of_key(&one, Kind::Read).1, settings.of_key(&one, Kind::Submit).1);
        let (one, other) = (key(NonZeroU32::new(3)), key(NonZeroU32::new(3)));
        assert_eq!(settings.of_key(&one, Kind::Read), settings.of_key(&other, Kind::Read));
        assert_eq!(settings.of_key(&one, Kind::Submit).0, each_second(3));
    }
}
