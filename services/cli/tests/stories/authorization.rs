//! Who may do what: every operation of the document, with every kind of credential.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::{Scope, Timestamp};
use reqwest::Method;
use runtime::Clock;
use serde_json::{Value, json};
use testkit::{Contract, Seller};

use crate::tenants::Apis;

/// Who may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum May {
    /// Whoever comes.
    Anybody,
    /// Who has a key with this scope.
    Key(Scope),
    /// Who has a key with this scope, or the poll token of the payment.
    KeyOrToken(Scope),
    /// Who has a key with this scope; without one, where an operator has opened the facilitator.
    KeyUnlessOpen(Scope),
}

use May::{Anybody, Key, KeyOrToken, KeyUnlessOpen};
use Scope::{Ops, PaymentsRead, PaymentsWrite, Risk, Webhooks};

/// What the path of an operation names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// Nothing, or all that is one's own.
    Nothing,
    /// Something of one tenant, of this kind.
    A(&'static str),
    /// Something that operators see, whose tenant's it ever is.
    AnyTenants(&'static str),
}

use Names::{A, AnyTenants, Nothing};

/// Every operation, who may ask for it, and what it is asked about.
const OPERATIONS: [(&str, May, Names); 44] = [
    ("show_document", Anybody, Nothing),
    ("show_page", Anybody, Nothing),
    ("show_guide", Anybody, Nothing),
    ("show_keys", Anybody, Nothing),
    ("show_supported", Anybody, Nothing),
    ("submit_payment", Key(PaymentsWrite), Nothing),
    ("settle_payment", KeyUnlessOpen(PaymentsWrite), Nothing),
    ("verify_payment", KeyUnlessOpen(PaymentsWrite), Nothing),
    ("list_payments", Key(PaymentsRead), Nothing),
    ("show_payment", KeyOrToken(PaymentsRead), A("payment")),
    ("stream_payment", KeyOrToken(PaymentsRead), A("payment")),
    ("show_receipt", KeyOrToken(PaymentsRead), A("payment")),
    ("cancel_payment", Key(PaymentsWrite), A("payment")),
    ("show_risk", Key(PaymentsRead), A("payment")),
    ("list_events", Key(PaymentsRead), Nothing),
    ("stream_events", Key(PaymentsRead), Nothing),
    ("show_event", Key(PaymentsRead), A("event")),
    ("list_endpoints", Key(Webhooks), Nothing),
    ("create_endpoint", Key(Webhooks), Nothing),
    ("show_endpoint", Key(Webhooks), A("endpoint")),
    ("update_endpoint", Key(Webhooks), A("endpoint")),
    ("delete_endpoint", Key(Webhooks), A("endpoint")),
    ("enable_endpoint", Key(Webhooks), A("endpoint")),
    ("disable_endpoint", Key(Webhooks), A("endpoint")),
    ("try_endpoint", Key(Webhooks), A("endpoint")),
    ("recover", Key(Webhooks), A("endpoint")),
    ("show_secret", Key(Webhooks), A("endpoint")),
    ("rotate_secret", Key(Webhooks), A("endpoint")),
    ("list_deliveries", Key(Webhooks), A("endpoint")),
    ("list_attempts", Key(Webhooks), A("delivery")),
    ("redeliver", Key(Webhooks), A("delivery")),
    ("show_job", Key(Webhooks), A("job")),
    ("list_event_types", Key(Webhooks), Nothing),
    ("show_policy", Key(Risk), Nothing),
    ("write_policy", Key(Risk), Nothing),
    ("dry_run", Key(Risk), Nothing),
    ("begin_session", Key(PaymentsWrite), Nothing),
    ("show_session", Key(PaymentsRead), A("session")),
    ("tell_trace", Key(PaymentsWrite), Nothing),
    ("show_trace", Key(PaymentsRead), A("trace")),
    ("evaluate", Key(PaymentsWrite), Nothing),
    ("list_holds", Key(Ops), Nothing),
    ("approve_hold", Key(Ops), AnyTenants("payment")),
    ("deny_hold", Key(Ops), AnyTenants("payment")),
];

/// An operation of the document, and what this says of it.
struct Operation {
    method: Method,
    path: String,
    name: String,
    security: Value,
    may: May,
    names: Names,
}

/// Every operation of the document; one without a line here, or a line without one, fails.
fn operations() -> Vec<Operation> {
    let contract = Contract::committed();
    let mut lines: BTreeMap<&str, (May, Names)> =
        OPERATIONS.iter().map(|(name, may, names)| (*name, (*may, *names))).collect();
    let mut operations = Vec::new();
    for (path, item) in contract.document()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap().to_owned();
            let line = lines.remove(name.as_str());
            let (may, names) = line.unwrap_or_else(|| panic!("who may ask for {name}, {path}?"));
            let method = method.to_uppercase().parse().unwrap();
            let security = operation["security"].clone();
            operations.push(Operation { method, path: path.clone(), name, security, may, names });
        }
    }
    assert!(lines.is_empty(), "not in the document: {lines:?}");
    operations
}

impl Operation {
    /// What is needed, as the document should have it.
    fn expected_security(&self) -> Value {
        let key = |scope: Scope| json!({"api_key": [scope.as_str()]});
        match self.may {
            Anybody if self.name == "show_keys" => json!([{}]),
            Anybody => Value::Null,
            Key(scope) => json!([key(scope)]),
            KeyOrToken(scope) => json!([key(scope), {"poll_token": []}]),
            KeyUnlessOpen(scope) => json!([{}, key(scope)]),
        }
    }

    const fn scope(&self) -> Option<Scope> {
        match self.may {
            Anybody => None,
            Key(scope) | KeyOrToken(scope) | KeyUnlessOpen(scope) => Some(scope),
        }
    }

    /// Its address, with one of these things where it names one.
    fn url(&self, apis: &Apis, things: &BTreeMap<&str, String>) -> String {
        let base = match self.name.as_str() {
            "submit_payment" | "settle_payment" | "verify_payment" | "show_supported" => {
                &apis.ingress
            }
            _ => &apis.results,
        };
        let mut url = format!("{base}{}", self.path);
        match (self.names, url.find('{'), url.find('}')) {
            (A(kind) | AnyTenants(kind), Some(begin), Some(end)) => {
                url.replace_range(begin..=end, &things[kind]);
                url
            }
            (Nothing, None, None) => url,
            other => panic!("{}: {} names something else: {other:?}", self.name, self.path),
        }
    }

    /// The status and the problem's code with this credential.
    async fn ask(&self, apis: &Apis, url: &str, credential: Option<&str>) -> (u16, String) {
        let mut request = apis.request(self.method.clone(), url);
        if let Some(credential) = credential {
            request = request.bearer_auth(credential);
        }
        if self.method != Method::GET {
            request = request.json(&self.body());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        // The body of a stream does not end.
        if status < 400 {
            return (status, String::new());
        }
        let problem: Value = answer.json().await.unwrap();
        (status, problem["code"].as_str().unwrap_or_default().to_owned())
    }

    /// A body that is right, where what is refused later would hide whose the thing is.
    fn body(&self) -> Value {
        match self.name.as_str() {
            "recover" => json!({"since": ago(60)}),
            "approve_hold" | "deny_hold" => json!({"reason": "A test."}),
            _ => json!({}),
        }
    }
}

fn ago(secs: u64) -> Timestamp {
    let now = Timestamp::from_unix_ms(Clock::system().now_unix_ms());
    now.minus(Duration::from_secs(secs))
}

fn told(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn the_document_says_of_every_operation_who_may() {
    for operation in operations() {
        assert_eq!(operation.security, operation.expected_security(), "{}", operation.name);
    }
}

#[tokio::test]
async fn nobody_is_let_in_without_a_good_key() {
    let apis = Apis::start(&[]).await;
    let (seller, things) = apis.tenant().await;
    let store = &apis.database.store;
    let [revoked, expired] = [
        seller.another_key(store, &Scope::ALL).await,
        seller.another_key(store, &Scope::ALL).await,
    ];
    assert!(store.revoke_api_key(revoked.key_id, ago(0)).await.unwrap());
    expire(&apis, &expired).await;
    let poll_token = access::PollTokens::new(store.clone());
    let poll_token = poll_token.mint(domain::PaymentId::new(runtime::new_uuid())).await.unwrap();
    for operation in operations().iter().filter(|operation| operation.scope().is_some()) {
        let url = operation.url(&apis, &things);
        for (credential, code) in [
            (None, "unauthorized"),
            (Some("qtk_nobodys"), "unauthorized"),
            (Some(poll_token.as_str()), "unauthorized"),
            (Some(revoked.key.as_str()), "key_revoked"),
            (Some(expired.key.as_str()), "key_expired"),
        ] {
            let answer = operation.ask(&apis, &url, credential).await;
            assert_eq!(answer, told(401, code), "{} with {credential:?}", operation.name);
        }
    }
}

/// Lets a key end now.
async fn expire(apis: &Apis, key: &Seller) {
    let rotation = store::KeyRotation {
        replaces: key.key_id,
        old_until: ago(1),
        id: domain::ApiKeyId::new(runtime::new_uuid()),
        token_sha256: runtime::random_bytes::<32>(),
        last_four: "test".to_owned(),
        expires_at: None,
    };
    apis.database.store.rotate_api_key(&rotation, ago(0)).await.unwrap();
}

#[tokio::test]
async fn a_key_with_one_scope_may_do_what_the_scope_is_for_and_nothing_else() {
    let apis = Apis::start(&[]).await;
    let (seller, things) = apis.tenant().await;
    let mut keys = Vec::new();
    for scope in Scope::ALL {
        keys.push((scope, seller.another_key(&apis.database.store, &[scope]).await.key));
    }
    for operation in operations() {
        let url = operation.url(&apis, &things);
        for (scope, key) in &keys {
            let (status, code) = operation.ask(&apis, &url, Some(key)).await;
            let what = format!("{} with {scope}: {status} {code}", operation.name);
            match operation.scope() {
                Some(needed) if needed != *scope => {
                    assert_eq!((status, code.as_str()), (403, "forbidden"), "{what}");
                }
                Some(_) | None => {
                    assert!(status < 500 && !matches!(status, 401 | 403 | 429), "{what}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_belongs_to_another_tenant_is_not_there_whatever_is_asked() {
    let apis = Apis::start(&[]).await;
    let (_, things) = apis.tenant().await;
    let store = &apis.database.store;
    let stranger = Seller::with_scopes(store, &Scope::ALL).await;
    let mut kinds = BTreeSet::new();
    for operation in operations() {
        let A(kind) = operation.names else { continue };
        kinds.insert(kind);
        let url = operation.url(&apis, &things);
        let answer = operation.ask(&apis, &url, Some(&stranger.key)).await;
        assert_eq!(answer, told(404, "not_found"), "{}", operation.name);
    }
    assert_eq!(kinds.len(), things.len(), "something of each kind is asked for");
}
