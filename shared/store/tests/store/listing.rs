//! Pages of payments and of deliveries, newest first, each account's own.

use domain::{ChainId, Event, EventType, Payment, PaymentId, StateName};
use store::{DeliveryFilter, Intake, PaymentFilter};

use crate::ledger::{Ledger, authorization, intake, new, unique_address};
use crate::settling::inclusion;

async fn listed(ledger: &Ledger, filter: &PaymentFilter, limit: i64) -> Vec<PaymentId> {
    let page = ledger.store().list_payments(ledger.seller, filter, limit).await.unwrap();
    page.iter().map(|payment| payment.id).collect()
}

#[tokio::test]
async fn pages_follow_each_other_without_overlap_while_payments_come_in() {
    let ledger = Ledger::open().await;
    let stranger = ledger.account().await;
    let mut expected: Vec<PaymentId> = Vec::new();
    for _ in 0..7 {
        expected.insert(0, ledger.payment().await.id);
        new(ledger.accept(intake(stranger, &authorization())).await);
    }
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let filter = PaymentFilter { before, ..PaymentFilter::default() };
        let page = listed(&ledger, &filter, 3).await;
        before = page.last().copied();
        seen.extend(page);
        if before.is_none() {
            break;
        }
        ledger.payment().await;
    }
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_page_holds_what_its_filter_names_and_nothing_else() {
    let ledger = Ledger::open().await;
    let mut special = intake(ledger.seller, &authorization());
    special.authorization.payer = unique_address();
    special.authorization.chain = ChainId::new(1).unwrap();
    let special = Intake { reference: Some("order-1".to_owned()), ..special };
    let payment = new(ledger.accept(special).await);
    let paid = Event::Included(inclusion());
    let payment: Payment = ledger.apply(&[payment], paid).await.remove(0);
    ledger.payments(3).await;

    let any = PaymentFilter::default;
    let tx_hash = payment.state.inclusion().map(|inclusion| inclusion.tx_hash);
    for filter in [
        PaymentFilter { state: Some(StateName::Confirmed), ..any() },
        PaymentFilter { payer: Some(payment.authorization.payer), ..any() },
        PaymentFilter { chain: Some(payment.authorization.chain), ..any() },
        PaymentFilter { reference: Some("order-1".to_owned()), ..any() },
        PaymentFilter { tx_hash, ..any() },
    ] {
        assert_eq!(listed(&ledger, &filter, 10).await, [payment.id], "{filter:?}");
    }
    assert_eq!(listed(&ledger, &any(), 10).await.len(), 4);
    let nothing = PaymentFilter { state: Some(StateName::Settled), ..any() };
    assert!(listed(&ledger, &nothing, 10).await.is_empty());
}

#[tokio::test]
async fn a_payment_is_found_by_its_own_account_alone() {
    let ledger = Ledger::open().await;
    let payment = ledger.payment().await;
    let stranger = ledger.account().await;
    let find = |account| ledger.store().find_payment(account, payment.id);
    assert_eq!(find(ledger.seller).await.unwrap(), Some(payment.clone()));
    assert_eq!(find(stranger).await.unwrap(), None);
    let versions = ledger.store().versions(&[payment.id, PaymentId::new(uuid::Uuid::nil())]).await;
    assert_eq!(versions.unwrap(), [(payment.id, 1)]);
}

#[tokio::test]
async fn signatures_are_loaded_with_their_own_payments() {
    let ledger = Ledger::open().await;
    let batch: Vec<Intake> = (1..=20)
        .map(|n| Intake {
            signature: domain::Signature::new(vec![n; usize::from(n)]),
            ..intake(ledger.seller, &authorization())
        })
        .collect();
    ledger.store().accept(batch.clone()).await.unwrap();
    let ids: Vec<PaymentId> = batch.iter().map(|intake| intake.id).collect();
    let loaded = ledger.store().load_signed(&ids).await.unwrap();
    assert_eq!(loaded.len(), 20);
    for signed in loaded {
        let given = batch.iter().find(|intake| intake.id == signed.payment.id).unwrap();
        assert_eq!(signed.signature, given.signature);
    }
}

#[tokio::test]
async fn deliveries_are_listed_newest_first_page_by_page() {
    let ledger = Ledger::open().await;
    let endpoint = ledger.endpoint(ledger.seller, &[EventType::Accepted]).await;
    ledger.payments(5).await;
    let page = |account, before, limit| {
        let store = ledger.store().clone();
        async move {
            let filter = DeliveryFilter { account, endpoint, before };
            let page = store.list_deliveries(&filter, limit).await.unwrap();
            page.into_iter().map(|delivery| delivery.id).collect::<Vec<_>>()
        }
    };
    let all = page(ledger.seller, None, 10).await;
    assert!(all.len() == 5 && all.is_sorted_by(|newer, older| newer > older));
    assert_eq!(page(ledger.seller, Some(all[1]), 2).await, all[2..4]);
    assert!(page(ledger.account().await, None, 10).await.is_empty());
}
