//! What the chain said, recorded once, with what follows for the payments.

use domain::{Event, EventType, FailureCode, Inclusion, Payment, PaymentState, StateName};
use futures::future::join_all;
use store::{FollowUp, OpenTransaction, TransactionState};

use crate::ledger::{Ledger, NOW, all_moved, change};
use crate::settling::{finalized, follow_up, inclusion, mined};

/// A transaction that carries as many payments, and they as they are.
async fn sent(ledger: &Ledger, count: usize) -> (OpenTransaction, Vec<Payment>) {
    let lane = ledger.lane().await;
    let (id, payments) = ledger.carried(&lane, 0, &ledger.approved(count).await).await;
    (ledger.transaction(id).await, payments)
}

/// Records, and gives the transaction and its payments as they are then.
async fn recorded(ledger: &Ledger, follow_up: FollowUp) -> (OpenTransaction, Vec<Payment>) {
    let id = follow_up.transaction;
    let advance = ledger.store().follow_up(follow_up, NOW).await.unwrap().unwrap();
    (ledger.transaction(id).await, all_moved(advance))
}

fn newest(transaction: &OpenTransaction) -> domain::B256 {
    transaction.attempts.last().unwrap().hash
}

#[tokio::test]
async fn a_transaction_is_followed_from_its_block_to_the_end() {
    let ledger = Ledger::open().await;
    let (transaction, payments) = sent(&ledger, 2).await;
    let block = mined(newest(&transaction));
    let (transaction, payments) =
        recorded(&ledger, follow_up(&transaction, block, &payments, Event::Included(inclusion())))
            .await;
    assert_eq!(transaction.state, block);
    assert_eq!(ledger.open_items(transaction.id).await, [true, true]);

    let (transaction, payments) =
        recorded(&ledger, follow_up(&transaction, finalized(block), &payments, Event::Finalized))
            .await;
    assert_eq!(transaction.state, finalized(block));
    assert_eq!(ledger.open_items(transaction.id).await, [false, false]);
    assert!(payments.iter().all(|payment| payment.state.is_terminal()));
    ledger.assert_journal_is_whole().await;
}

#[tokio::test]
async fn a_block_that_is_final_when_it_is_found_is_recorded_at_once_in_two_steps() {
    let ledger = Ledger::open().await;
    ledger.endpoint(ledger.seller, &[EventType::Confirmed, EventType::Settled]).await;
    let (transaction, payments) = sent(&ledger, 2).await;
    let block = finalized(mined(newest(&transaction)));
    let mut included = follow_up(&transaction, block, &payments, Event::Included(inclusion()));
    let settled = follow_up(&transaction, block, &payments, Event::Finalized);
    included.changes.extend(settled.changes);

    let advance = ledger.store().follow_up(included, NOW).await.unwrap().unwrap();

    assert_eq!(advance.deliveries.len(), 4, "each payment is confirmed, and settled");
    let versions: Vec<u32> = advance.moved().map(|payment| payment.version).collect();
    assert_eq!(versions, [4, 4, 5, 5]);
    assert_eq!(ledger.transaction(transaction.id).await.state, block);
    assert_eq!(ledger.open_items(transaction.id).await, [false, false]);
    for payment in payments {
        assert_eq!(ledger.reload(payment.id).await.state.name(), StateName::Settled);
    }
    ledger.assert_journal_is_whole().await;
}

#[tokio::test]
async fn from_a_state_that_is_not_the_stored_one_nothing_is_recorded() {
    let ledger = Ledger::open().await;
    let (open, payments) = sent(&ledger, 1).await;
    let block = mined(newest(&open));
    let other_block = mined(newest(&open));
    let returned = |from, to| {
        let changes = vec![change(&payments[0], Event::Returned)];
        FollowUp { transaction: open.id, from, to, changes }
    };
    let nothing_follows = |from, to| FollowUp { changes: Vec::new(), ..returned(from, to) };
    use TransactionState::{Dropped, Open};

    for from in [block, finalized(block), Dropped] {
        let stale = ledger.store().follow_up(returned(from, Open), NOW).await.unwrap();
        assert!(stale.is_none(), "from {from:?}");
    }
    let seen = ledger.store().follow_up(nothing_follows(Open, block), NOW).await.unwrap();
    assert!(seen.is_some());
    for from in [Open, other_block, finalized(block), Dropped] {
        let stale = ledger.store().follow_up(returned(from, Dropped), NOW).await.unwrap();
        assert!(stale.is_none(), "from {from:?}");
    }
    assert_eq!(ledger.transaction(open.id).await.state, block);
    assert_eq!(ledger.reload(payments[0].id).await, payments[0]);
    ledger.assert_items_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_followers_at_the_same_instant_one_records() {
    let ledger = Ledger::open().await;
    let (transaction, payments) = sent(&ledger, 5).await;
    let followers = (0..8).map(|_| {
        let event = Event::Included(inclusion());
        let said = follow_up(&transaction, mined(newest(&transaction)), &payments, event);
        let store = ledger.store().clone();
        tokio::spawn(async move { store.follow_up(said, NOW).await.unwrap() })
    });
    let recorded: Vec<_> =
        join_all(followers).await.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0].moved().count(), 5);
    ledger.assert_journal_is_whole().await;
}

#[tokio::test]
async fn items_are_closed_exactly_when_their_payments_leave() {
    let ledger = Ledger::open().await;
    let (transaction, payments) = sent(&ledger, 5).await;
    let [paid, returned, failed, elsewhere, waiting]: [Payment; 5] = payments.try_into().unwrap();
    let block = mined(newest(&transaction));
    let changes = vec![
        change(&paid, Event::Included(inclusion())),
        change(&returned, Event::Returned),
        change(&failed, Event::Failed(FailureCode::AuthorizationUsed)),
        change(&elsewhere, Event::Included(Inclusion { block_number: 90, ..inclusion() })),
    ];
    let said =
        FollowUp { transaction: transaction.id, from: transaction.state, to: block, changes };
    let (_, moved) = recorded(&ledger, said).await;
    assert_eq!(ledger.open_items(transaction.id).await, [true, false, false, true, true]);

    // Whichever call takes a payment away.
    ledger.apply(&moved[..1], Event::Finalized).await;
    assert_eq!(ledger.open_items(transaction.id).await, [false, false, false, true, true]);
    ledger.apply(&[waiting], Event::Expired).await;
    assert_eq!(ledger.open_items(transaction.id).await, [false, false, false, true, false]);
    ledger.assert_items_are_true().await;
}

#[tokio::test]
async fn a_payment_that_came_back_is_carried_again() {
    let ledger = Ledger::open().await;
    let lane = ledger.lane().await;
    let (_, payments) = ledger.carried(&lane, 0, &ledger.approved(2).await).await;
    let returned = ledger.apply(&payments, Event::Returned).await;

    let (second, payments) = ledger.carried(&lane, 1, &returned).await;
    assert_eq!(ledger.open_items(second).await, [true, true]);
    assert!(payments.iter().all(|payment| payment.version == 5));
    ledger.assert_items_are_true().await;
    ledger.assert_journal_is_whole().await;
}

#[tokio::test]
async fn a_lost_block_puts_transaction_and_payments_back_to_where_they_waited() {
    let ledger = Ledger::open().await;
    let (transaction, sent) = sent(&ledger, 2).await;
    let block = mined(newest(&transaction));
    let said = follow_up(&transaction, block, &sent, Event::Included(inclusion()));
    let (seen, confirmed) = recorded(&ledger, said).await;
    let lost = follow_up(&seen, TransactionState::Open, &confirmed, Event::Reorged);
    let (transaction, payments) = recorded(&ledger, lost).await;

    assert_eq!(transaction.state, TransactionState::Open);
    for (before, after) in sent.iter().zip(&payments) {
        assert_eq!((after.state, after.version), (before.state, before.version + 2));
    }
    assert_eq!(ledger.open_items(transaction.id).await, [true, true]);
}

#[tokio::test]
async fn a_payment_that_moved_meanwhile_keeps_nothing_else_from_being_recorded() {
    let ledger = Ledger::open().await;
    let (transaction, payments) = sent(&ledger, 2).await;
    ledger.apply(&payments[..1], Event::Returned).await;
    let block = mined(newest(&transaction));
    let said = follow_up(&transaction, block, &payments, Event::Included(inclusion()));

    let advance = ledger.store().follow_up(said, NOW).await.unwrap().unwrap();
    use store::Advanced::{Moved, Overtaken};
    assert!(matches!(advance.outcomes[..], [Overtaken, Moved(_)]), "{:?}", advance.outcomes);
    assert_eq!(ledger.transaction(transaction.id).await.state, block);
    let first = ledger.reload(payments[0].id).await;
    assert!(matches!(first.state, PaymentState::Approved { .. }));
    ledger.assert_items_are_true().await;
}
