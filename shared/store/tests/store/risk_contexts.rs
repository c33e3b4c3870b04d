//! What buyers' agents handed over with payments: written with them, once, or not at all.

use std::collections::HashMap;

use domain::{Mandate, PaymentId, RequestTrace, RiskContext};
use futures::future::join_all;
use store::{Acceptance, Intake};
use uuid::Uuid;

use crate::ledger::{Ledger, authorization, intake, keyed, new};

/// How many come at once.
const CROWD: usize = 20;

fn everything() -> RiskContext {
    RiskContext {
        session: Some(Uuid::new_v4()),
        trace: Some(Uuid::new_v4()),
        request: Some(RequestTrace {
            parent: format!("00-{}-{}-01", "4b".repeat(16), "0f".repeat(8)),
            state: Some("eyJ0aWQiOiIifQ==".to_owned()),
        }),
        mandate: Some(Mandate {
            reference: "mandates/1".to_owned(),
            sha256_b64url: "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU".to_owned(),
            mime: "application/json".to_owned(),
            size: 26_214_400,
        }),
    }
}

fn a_session() -> RiskContext {
    RiskContext { session: Some(Uuid::new_v4()), ..RiskContext::default() }
}

/// A submission with which this came.
fn with(ledger: &Ledger, risk_context: RiskContext) -> Intake {
    Intake { risk_context, ..intake(ledger.seller, &authorization()) }
}

async fn stored(ledger: &Ledger, payments: &[PaymentId]) -> HashMap<PaymentId, RiskContext> {
    ledger.store().risk_contexts(payments).await.unwrap()
}

#[tokio::test]
async fn each_payment_of_a_batch_has_what_came_with_it() {
    let ledger = Ledger::open().await;
    let RiskContext { session, trace, request, mandate } = everything();
    let plain = request.clone().map(|request| RequestTrace { state: None, ..request });
    let none = RiskContext::default();
    let contexts = [
        everything(),
        none.clone(),
        RiskContext { session, ..none.clone() },
        RiskContext { trace, ..none.clone() },
        none.clone(),
        RiskContext { request, ..none.clone() },
        RiskContext { request: plain, ..none.clone() },
        RiskContext { mandate, ..none.clone() },
    ];
    let batch: Vec<Intake> = contexts.iter().map(|it| with(&ledger, it.clone())).collect();
    let ids: Vec<PaymentId> = batch.iter().map(|intake| intake.id).collect();
    ledger.store().accept(batch).await.unwrap();

    let expected: HashMap<PaymentId, RiskContext> =
        ids.iter().copied().zip(contexts).filter(|(_, context)| !context.is_empty()).collect();
    assert_eq!(stored(&ledger, &ids).await, expected);
    assert_eq!(stored(&ledger, &[]).await, HashMap::new());
    assert_eq!(ledger.count("risk_contexts", "true").await, 6);
}

#[tokio::test]
async fn a_repetition_changes_nothing_of_what_came_first() {
    let ledger = Ledger::open().await;
    let first = with(&ledger, a_session());
    let bare = with(&ledger, RiskContext::default());
    let stranger = ledger.account().await;
    for intake in [&first, &bare] {
        new(ledger.accept(keyed(intake.clone(), &intake.id.to_string(), 1)).await);
    }
    for before in [&first, &bare] {
        let again = with(&ledger, everything());
        let again = Intake { authorization: before.authorization.clone(), ..again };
        let same_key = keyed(again.clone(), &before.id.to_string(), 1);
        let other_key = keyed(again.clone(), "other", 2);
        let theirs = Intake { account: stranger, ..again.clone() };
        // A batch is given again when nobody knows whether it was committed.
        let same = before.clone();
        for intake in [again, same_key, other_key, theirs, same] {
            let acceptance = ledger.accept(intake).await;
            assert!(!matches!(acceptance, Acceptance::New(_)), "{acceptance:?}");
        }
        ledger.sql("delete from idempotency_keys where key = 'other'").await.unwrap();
    }
    let expected = HashMap::from([(first.id, first.risk_context.clone())]);
    assert_eq!(stored(&ledger, &[first.id, bare.id]).await, expected);
    assert_eq!(ledger.count("risk_contexts", "true").await, 1);
}

#[tokio::test]
async fn of_many_at_the_same_instant_the_one_that_is_new_has_brought_what_is_kept() {
    let ledger = Ledger::open().await;
    let store = ledger.handle(10);
    let said = authorization();
    let crowd: Vec<Vec<Intake>> = (0..CROWD)
        .map(|_| {
            // Within a batch the first has the authorization.
            let batch = [with(&ledger, a_session()), with(&ledger, everything())];
            batch.map(|intake| Intake { authorization: said.clone(), ..intake }).to_vec()
        })
        .collect();
    let told = join_all(crowd.iter().map(|batch| store.accept(batch.clone()))).await;
    let won = told.into_iter().flat_map(Result::unwrap).find_map(|acceptance| match acceptance {
        Acceptance::New(payment) => Some(payment.id),
        _ => None,
    });
    let winner = crowd.iter().flatten().find(|intake| Some(intake.id) == won).unwrap();
    let expected = HashMap::from([(winner.id, winner.risk_context.clone())]);
    assert_eq!(stored(&ledger, &[winner.id]).await, expected);
    assert_eq!(ledger.count("risk_contexts", "true").await, 1);
}

#[tokio::test]
async fn a_payment_is_not_accepted_without_what_came_with_it() {
    let ledger = Ledger::open().await;
    let mut context = everything();
    context.request.as_mut().unwrap().state = Some("t".repeat(4_097));
    let intake = keyed(with(&ledger, context), "order-1", 1);
    ledger.store().accept(vec![intake]).await.unwrap_err();
    for table in ["payments", "payment_events", "idempotency_keys", "risk_contexts"] {
        assert_eq!(ledger.count(table, "true").await, 0, "{table}");
    }
}

#[tokio::test]
async fn payments_with_which_nothing_came_do_not_need_the_table() {
    let ledger = Ledger::open().await;
    let taken = ledger.hold("lock table risk_contexts in access exclusive mode").await;
    ledger.payments(3).await;
    let (store, intake) = (ledger.handle(1), with(&ledger, a_session()));
    let waiting = tokio::spawn(async move { store.accept(vec![intake]).await });
    ledger.until_waiting(1).await;
    taken.rollback().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().len(), 1);
}
