//! Sessions and traces of the risk engine.

use std::time::Duration;

use domain::risk_engine::RiskSession;
use futures::future::join_all;
use sha2::{Digest, Sha256};
use store::{NewRiskTrace, RiskSessionRow, TraceTold};
use uuid::Uuid;

use crate::ledger::{Ledger, NOW, later, unique_address};

/// When a session ends, in seconds.
const END: u64 = 900;

fn session() -> RiskSessionRow {
    let session = RiskSession {
        id: Uuid::new_v4(),
        wallet: unique_address(),
        agent_did: "did:web:agent".to_owned(),
        expires_at: NOW.plus(Duration::from_secs(END)),
    };
    let (agent_endpoint, app_id, device) = (None, None, Some("{}".to_owned()));
    RiskSessionRow { session, agent_endpoint, app_id, device, created_at: NOW }
}

fn trace<'a>(session: Uuid, body: &'a str, request_id: Option<&'a str>) -> NewRiskTrace<'a> {
    let sha256 = Sha256::digest(body).into();
    NewRiskTrace { id: Uuid::new_v4(), session, body: body.as_bytes(), sha256, request_id }
}

impl Ledger {
    async fn session(&self) -> Uuid {
        let row = session();
        assert!(self.store().begin_risk_session(self.seller, &row).await.unwrap());
        row.session.id
    }
}

#[tokio::test]
async fn a_session_is_found_by_its_account_until_it_ends() {
    let ledger = Ledger::open().await;
    let (row, stranger) = (session(), ledger.account().await);
    ledger.store().begin_risk_session(ledger.seller, &row).await.unwrap();
    for (account, secs, found) in [
        (ledger.seller, 0, true),
        (ledger.seller, END - 1, true),
        (ledger.seller, END, false),
        (stranger, 0, false),
    ] {
        let kept = ledger.store().find_risk_session(account, row.session.id, later(secs)).await;
        assert_eq!(kept.unwrap(), found.then(|| row.clone()), "{secs}");
    }
}

#[tokio::test]
async fn of_traces_for_one_request_at_the_same_instant_one_is_the_first() {
    let ledger = Ledger::open().await;
    let session = ledger.session().await;
    let told = (0..6).map(|number| {
        let (store, account) = (ledger.store().clone(), ledger.seller);
        async move {
            let body = format!("{{\"n\":{number}}}");
            let new = trace(session, &body, Some("r-1"));
            let told = store.tell_risk_trace(account, &new, NOW).await.unwrap();
            assert_eq!(told, TraceTold::Kept(new.id));
            store.find_risk_trace(account, new.id, NOW).await.unwrap().unwrap().repeated
        }
    });
    let repeated = join_all(told).await;
    assert_eq!(repeated.iter().filter(|repeated| !**repeated).count(), 1);
}

#[tokio::test]
async fn the_same_trace_told_at_the_same_instant_is_one() {
    let ledger = Ledger::open().await;
    let session = ledger.session().await;
    let told = (0..6).map(|_| async {
        let new = trace(session, "{}", Some("r-1"));
        ledger.store().tell_risk_trace(ledger.seller, &new, NOW).await.unwrap()
    });
    let mut told = join_all(told).await;
    told.dedup();
    assert_eq!(told.len(), 1);
    assert_eq!(ledger.count("risk_traces", "not repeated").await, 1);
}

#[tokio::test]
async fn a_session_has_a_limited_number_of_traces() {
    let ledger = Ledger::open().await;
    let session = ledger.session().await;
    let tell = async |body: &str| {
        let new = trace(session, body, None);
        ledger.store().tell_risk_trace(ledger.seller, &new, NOW).await.unwrap()
    };
    for number in 0..100 {
        assert!(matches!(tell(&number.to_string()).await, TraceTold::Kept(_)));
    }
    assert_eq!(tell("{}").await, TraceTold::Full);
}

#[tokio::test]
async fn nothing_is_told_for_a_session_of_another_account_or_one_that_is_over() {
    let ledger = Ledger::open().await;
    let (session, stranger) = (ledger.session().await, ledger.account().await);
    for (account, session, now) in [
        (stranger, session, NOW),
        (ledger.seller, session, later(END)),
        (ledger.seller, Uuid::new_v4(), NOW),
    ] {
        let told = ledger.store().tell_risk_trace(account, &trace(session, "{}", None), now).await;
        assert_eq!(told.unwrap(), TraceTold::NoSession);
    }
    assert_eq!(ledger.count("risk_traces", "true").await, 0);
}

#[tokio::test]
async fn an_account_has_a_limited_number_of_sessions_at_once() {
    let ledger = Ledger::open().await;
    let account = ledger.seller.uuid();
    let many = format!(
        "insert into risk_sessions (id, account_id, wallet, agent_did, created_at, expires_at)
         select gen_random_uuid(), '{account}', decode(repeat('09', 20), 'hex'), 'a',
             timestamptz '{NOW}', timestamptz '{NOW}' + interval '900 s'
         from generate_series(1, 10000)"
    );
    ledger.sql(&many).await.unwrap();
    let begin = async |row: &RiskSessionRow, account| {
        ledger.store().begin_risk_session(account, row).await.unwrap()
    };
    assert!(!begin(&session(), ledger.seller).await);
    assert!(begin(&session(), ledger.account().await).await);
    let mut after = session();
    (after.created_at, after.session.expires_at) = (later(END), later(2 * END));
    assert!(begin(&after, ledger.seller).await);
}
