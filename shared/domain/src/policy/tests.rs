//! Policies on one page.

use serde_json::json;

use super::*;
use crate::{Amount, B256, Timestamp, TransferMethod};

const ASSET: &str = "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913";

fn authorization(amount: u64) -> Authorization {
    Authorization {
        method: TransferMethod::Eip3009,
        chain: ChainId::new(8_453).unwrap(),
        asset: ASSET.parse().unwrap(),
        payer: Address::repeat_byte(1),
        pay_to: Address::repeat_byte(2),
        amount: Amount::from(amount),
        valid_after: 0,
        valid_before: 1_000,
        nonce: B256::repeat_byte(4),
    }
}

fn policy(document: serde_json::Value) -> Policy {
    let policy: Policy = serde_json::from_value(document).unwrap();
    policy.check().unwrap();
    policy
}

fn limits(limit: serde_json::Value) -> Policy {
    let mut limit = limit;
    limit["network"] = json!("eip155:8453");
    limit["asset"] = json!(ASSET);
    limit["per"] = json!("account");
    policy(json!({ "limits": [limit] }))
}

#[test]
fn a_policy_without_rules_allows_everything() {
    let none = policy(json!({}));
    assert_eq!(none.denies(&authorization(u64::MAX), None), None);
    assert!(!none.wants_approval(&authorization(u64::MAX)));
    assert!(none.demands(&authorization(1), Timestamp::default()).is_empty());
}

#[test]
fn the_first_rule_that_is_broken_is_the_reason() {
    let payer = Address::repeat_byte(1);
    let other = Address::repeat_byte(9);
    for (document, host, reason) in [
        (json!({"hosts": {"deny": ["*.bad.example"]}}), Some("a.bad.example"), "ENDPOINT_BLOCKED"),
        (
            json!({"hosts": {"allow": ["shop.example"]}}),
            Some("a.example"),
            "ENDPOINT_NOT_WHITELISTED",
        ),
        (json!({"hosts": {"allow": ["shop.example"]}}), None, "ENDPOINT_NOT_WHITELISTED"),
        (json!({"payers": {"deny": [payer]}}), None, "PAYER_BLOCKED"),
        (json!({"payers": {"allow": [payer], "deny": [payer]}}), None, "PAYER_BLOCKED"),
        (json!({"payers": {"allow": [other]}}), None, "PAYER_NOT_WHITELISTED"),
        (json!({"pay_to": {"allow": [other]}}), None, "RECIPIENT_NOT_WHITELISTED"),
        (json!({"assets": {"deny": [ASSET]}}), None, "ASSET_BLOCKED"),
        (json!({"networks": {"allow": ["eip155:1"]}}), None, "NETWORK_NOT_WHITELISTED"),
        (
            json!({"networks": {"deny": ["eip155:8453"]}, "payers": {"deny": [payer]}}),
            None,
            "PAYER_BLOCKED",
        ),
    ] {
        let denied = policy(document.clone()).denies(&authorization(1), host);
        assert_eq!(denied.map(PolicyReason::as_str), Some(reason), "{document}");
    }
}

#[test]
fn bounds_on_one_payment_include_their_own_amount() {
    let bounded = limits(json!({"max_per_payment": "100", "approve_above": "50"}));
    for (amount, denied, held) in [(50, false, false), (51, false, true), (101, true, true)] {
        let authorization = authorization(amount);
        assert_eq!(bounded.denies(&authorization, None).is_some(), denied, "{amount}");
        assert_eq!(bounded.wants_approval(&authorization), held, "{amount}");
    }
}

#[test]
fn other_tokens_have_other_bounds() {
    let bounded = limits(json!({"max_per_payment": "100"}));
    let other = Authorization { asset: Address::repeat_byte(7), ..authorization(101) };
    assert_eq!(bounded.denies(&other, None), None);
}

#[test]
fn what_is_taken_up_is_of_the_day_the_month_and_the_window() {
    let mut bounded = limits(json!({"daily": "10", "monthly": "100"}));
    bounded.velocity = vec![Velocity { payments: 3, window_seconds: 60 }];
    // 23:59:59 on the last day of a year, and a second later.
    let (before, after) = (1_798_761_599, 1_798_761_600);
    let periods = |secs| -> Vec<String> {
        let demands = bounded.demands(&authorization(4), Timestamp::from_unix_secs(secs));
        demands.iter().map(|demand| demand.period.to_string()).collect()
    };
    assert_eq!(periods(before), ["day:2461406", "month:24323", "window:60:29979359"]);
    assert_eq!(periods(after), ["day:2461407", "month:24324", "window:60:29979360"]);
    let demands = bounded.demands(&authorization(4), Timestamp::from_unix_secs(before));
    let amounts: Vec<_> = demands.iter().map(|demand| demand.amount).collect();
    assert_eq!(amounts, [Amount::from(4), Amount::from(4), Amount::from(1)]);
    assert_eq!((demands[0].payer, demands[2].payer), (None, Some(Address::repeat_byte(1))));
}

#[test]
fn what_makes_no_sense_is_refused_where_it_stands() {
    let limit = |members: serde_json::Value| {
        let mut limit = json!({"network": "eip155:1", "asset": ASSET, "per": "payer"});
        limit.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        limit
    };
    let good = limit(json!({"daily": "1"}));
    for (document, pointer) in [
        (json!({"limits": [limit(json!({}))]}), "/limits/0"),
        (json!({"limits": [limit(json!({"daily": "2", "monthly": "1"}))]}), "/limits/0"),
        (json!({"limits": [limit(json!({"max_per_payment": "2", "monthly": "1"}))]}), "/limits/0"),
        (json!({"limits": [good, good]}), "/limits/1"),
        (json!({"velocity": [{"payments": 0, "window_seconds": 1}]}), "/velocity/0/payments"),
        (json!({"velocity": [{"payments": 1, "window_seconds": 0}]}), "/velocity/0/window_seconds"),
        (json!({"hold_seconds": 1}), "/hold_seconds"),
        (json!({"payers": {"deny": vec![ASSET; 1_001]}}), "/payers/deny"),
    ] {
        let parsed: Policy = serde_json::from_value(document.clone()).unwrap();
        assert_eq!(parsed.check().unwrap_err().pointer, pointer, "{document}");
    }
    for bad in [json!({"limit": []}), json!({"hosts": {"allow": ["a b"]}}), json!({"limits": [{}]})]
    {
        assert!(serde_json::from_value::<Policy>(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn a_policy_reads_back_as_it_was_written() {
    let all = json!({
        "hosts": {"allow": ["*.shop.example"], "deny": ["bad.shop.example"]},
        "payers": {"allow": [], "deny": [ASSET]},
        "pay_to": {"allow": [], "deny": []},
        "assets": {"allow": [ASSET], "deny": []},
        "networks": {"allow": ["eip155:8453"], "deny": []},
        "limits": [{
            "network": "eip155:8453", "asset": ASSET, "per": "payer", "max_per_payment": "1",
            "daily": "2", "monthly": "3", "approve_above": "1",
        }],
        "velocity": [{"payments": 3, "window_seconds": 60}],
        "hold_seconds": 600,
    });
    assert_eq!(serde_json::to_value(policy(all.clone())).unwrap(), all);
}
