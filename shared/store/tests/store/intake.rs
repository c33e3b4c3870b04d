//! Submissions, one after the other and in batches.

use domain::{Address, Authorization, TransferMethod};
use store::{Acceptance, StoreError};

use crate::ledger::{Ledger, NOW, authorization, intake, keyed, later, new, unique_hash};

#[tokio::test]
async fn what_is_accepted_is_stored_with_the_event_that_says_so() {
    let ledger = Ledger::open().await;
    let payment = ledger.payment().await;

    assert_eq!(ledger.reload(payment.id).await, payment);
    let timeline = ledger.store().timeline(payment.id).await.unwrap();
    assert_eq!((timeline.len(), timeline[0].version), (1, 1));
    assert_eq!(timeline[0].r#type, "payment.accepted");
}

#[tokio::test]
async fn the_same_key_with_the_same_body_gives_the_same_payment() {
    let ledger = Ledger::open().await;
    let said = authorization();
    let first = new(ledger.accept(keyed(intake(ledger.seller, &said), "order-1", 1)).await);

    let second = ledger.accept(keyed(intake(ledger.seller, &said), "order-1", 1)).await;
    assert!(matches!(second, Acceptance::Replayed(payment) if payment == first));
    assert_eq!(ledger.count("payments", "true").await, 1);
}

#[tokio::test]
async fn the_same_key_with_another_body_is_told_apart_and_leaves_nothing() {
    let ledger = Ledger::open().await;
    let first = keyed(intake(ledger.seller, &authorization()), "order-1", 1);
    let first = new(ledger.accept(first).await);

    let mut second = keyed(intake(ledger.seller, &authorization()), "order-1", 2);
    second.accepted_at = later(60);
    match ledger.accept(second).await {
        Acceptance::KeyReused { key, payment, first_used_at } => {
            assert_eq!((&*key, payment, first_used_at), ("order-1", first.id, NOW));
        }
        other => panic!("the key was used before: {other:?}"),
    }
    assert_eq!(ledger.count("payments", "true").await, 1);
    assert_eq!(ledger.count("payment_events", "true").await, 1);
}

#[tokio::test]
async fn another_key_with_the_same_authorization_stands_for_its_payment_from_then_on() {
    let ledger = Ledger::open().await;
    let said = authorization();
    let first = new(ledger.accept(keyed(intake(ledger.seller, &said), "order-1", 1)).await);

    let second = ledger.accept(keyed(intake(ledger.seller, &said), "order-2", 2)).await;
    assert!(matches!(second, Acceptance::Existing(payment) if payment == first));
    let third = ledger.accept(keyed(intake(ledger.seller, &said), "order-2", 2)).await;
    assert!(matches!(third, Acceptance::Replayed(payment) if payment == first));
}

#[tokio::test]
async fn one_key_of_two_accounts_stands_for_two_payments() {
    let ledger = Ledger::open().await;
    let other = ledger.account().await;
    let [mine, theirs] = [ledger.seller, other]
        .map(|account| keyed(intake(account, &authorization()), "order-1", 1));

    let answers = ledger.store().accept(vec![mine, theirs]).await.unwrap();
    assert!(answers.iter().all(|answer| matches!(answer, Acceptance::New(_))), "{answers:?}");
}

#[tokio::test]
async fn another_accounts_authorization_reveals_nothing_and_leaves_no_key() {
    let ledger = Ledger::open().await;
    let other = ledger.account().await;
    let said = authorization();
    new(ledger.accept(intake(other, &said)).await);

    let answer = ledger.accept(keyed(intake(ledger.seller, &said), "order-1", 1)).await;
    assert!(matches!(answer, Acceptance::AnotherAccounts));
    assert_eq!(ledger.count("idempotency_keys", "true").await, 0);
    let next = keyed(intake(ledger.seller, &authorization()), "order-1", 2);
    assert!(matches!(ledger.accept(next).await, Acceptance::New(_)), "the key is still free");
}

#[tokio::test]
async fn a_nonce_of_permit2_is_one_payments_whichever_token_it_is_about() {
    let ledger = Ledger::open().await;
    let method = TransferMethod::Permit2 { spender: Address::repeat_byte(7) };
    let first = Authorization { method, ..authorization() };
    let second = Authorization { asset: Address::repeat_byte(0xff), ..first.clone() };
    let stranger = ledger.account().await;
    let batch = vec![
        intake(ledger.seller, &first),
        intake(ledger.seller, &second),
        intake(stranger, &second),
    ];

    let answers = ledger.store().accept(batch).await.unwrap();

    let Acceptance::New(payment) = &answers[0] else { panic!("{answers:?}") };
    assert_eq!(payment.authorization, first);
    assert_eq!(ledger.reload(payment.id).await.authorization, first);
    assert!(matches!(&answers[1], Acceptance::Existing(same) if same.id == payment.id));
    assert!(matches!(&answers[2], Acceptance::AnotherAccounts));
}

#[tokio::test]
async fn within_a_batch_the_first_submission_of_an_authorization_has_it() {
    let ledger = Ledger::open().await;
    let other = ledger.account().await;
    let said = authorization();
    // Among others, so that the batch is sorted in earnest: an order that leaves equals where they
    // fall would hardly put the first first.
    let mut batch = vec![intake(ledger.seller, &said)];
    for _ in 0..200 {
        batch.push(intake(other, &said));
        batch.push(intake(ledger.seller, &authorization()));
    }
    let first = batch[0].id;

    let answers = ledger.store().accept(batch).await.unwrap();
    assert!(matches!(&answers[0], Acceptance::New(payment) if payment.id == first));
    for pair in answers[1..].chunks(2) {
        assert!(matches!(pair, [Acceptance::AnotherAccounts, Acceptance::New(_)]), "{pair:?}");
    }
}

#[tokio::test]
async fn within_a_batch_the_first_submission_under_a_key_has_it() {
    let ledger = Ledger::open().await;
    let submit = |key: &str, body| keyed(intake(ledger.seller, &authorization()), key, body);
    // Among others, as above.
    let batch: Vec<_> = (0..=255)
        .flat_map(|body| [submit("order-1", body), submit(&unique_hash().to_string(), body)])
        .collect();
    let first = batch[0].id;

    let answers = ledger.store().accept(batch).await.unwrap();
    assert!(matches!(&answers[0], Acceptance::New(payment) if payment.id == first));
    for answer in answers.iter().step_by(2).skip(1) {
        match answer {
            Acceptance::KeyReused { payment, .. } => assert_eq!(*payment, first),
            other => panic!("the key was used before: {other:?}"),
        }
    }
    assert_eq!(ledger.count("payments", "true").await, 257);
}

#[tokio::test]
async fn a_submission_has_all_of_its_keys_or_none() {
    let ledger = Ledger::open().await;
    let two = |first, second, body| {
        let submitted = keyed(intake(ledger.seller, &authorization()), first, body);
        keyed(submitted, second, body)
    };
    let first = new(ledger.accept(two("a", "b", 1)).await);
    for (submitted, reused) in [(two("c", "b", 2), "b"), (two("b", "a", 2), "b")] {
        match ledger.accept(submitted).await {
            Acceptance::KeyReused { key, payment, .. } => {
                assert_eq!((&*key, payment), (reused, first.id));
            }
            other => panic!("the key was used before: {other:?}"),
        }
    }
    assert_eq!(ledger.count("idempotency_keys", "true").await, 2);

    // What one of them let go is free for the next, in the same batch too.
    let batch = vec![two("c", "b", 3), two("c", "d", 4), two("d", "c", 4)];
    let answers = ledger.store().accept(batch).await.unwrap();
    match &answers[..] {
        [Acceptance::KeyReused { .. }, Acceptance::New(new), Acceptance::Replayed(again)] => {
            assert_eq!(new.id, again.id);
        }
        other => panic!("the second has both: {other:?}"),
    }
}

#[tokio::test]
async fn a_key_that_is_reused_within_a_batch_names_a_payment_that_there_is() {
    let ledger = Ledger::open().await;
    let said = authorization();
    let known = new(ledger.accept(intake(ledger.seller, &said)).await);
    let again = keyed(intake(ledger.seller, &said), "order-1", 1);
    let other_body = keyed(intake(ledger.seller, &authorization()), "order-1", 2);

    let answers = ledger.store().accept(vec![again, other_body]).await.unwrap();
    assert!(matches!(&answers[0], Acceptance::Existing(payment) if payment.id == known.id));
    match &answers[1] {
        Acceptance::KeyReused { payment, .. } => assert_eq!(*payment, known.id),
        other => panic!("the key was used before: {other:?}"),
    }
}

#[tokio::test]
async fn a_key_that_stands_for_nothing_is_free_for_the_next_in_the_same_batch() {
    let ledger = Ledger::open().await;
    let other = ledger.account().await;
    let theirs = authorization();
    new(ledger.accept(intake(other, &theirs)).await);
    let refused = keyed(intake(ledger.seller, &theirs), "order-1", 1);
    let good = keyed(intake(ledger.seller, &authorization()), "order-1", 2);

    let answers = ledger.store().accept(vec![refused, good.clone()]).await.unwrap();
    assert!(matches!(answers[0], Acceptance::AnotherAccounts));
    assert!(matches!(&answers[1], Acceptance::New(payment) if payment.id == good.id));
    let replayed = ledger.accept(keyed(intake(ledger.seller, &theirs), "order-1", 2)).await;
    assert!(matches!(replayed, Acceptance::Replayed(payment) if payment.id == good.id));
}

#[tokio::test]
async fn a_batch_that_is_given_again_changes_nothing() {
    let ledger = Ledger::open().await;
    let batch: Vec<_> = (0..3)
        .map(|n| keyed(intake(ledger.seller, &authorization()), &format!("order-{n}"), 1))
        .collect();
    let first = ledger.store().accept(batch.clone()).await.unwrap().into_iter().map(new);

    let again = ledger.store().accept(batch).await.unwrap();
    for (first, again) in first.zip(again) {
        assert!(matches!(again, Acceptance::Existing(payment) if payment == first));
    }
    ledger.assert_journal_is_whole().await;
}

#[tokio::test]
async fn a_batch_that_is_refused_leaves_neither_payments_nor_keys() {
    let ledger = Ledger::open().await;
    let good = keyed(intake(ledger.seller, &authorization()), "order-1", 1);
    let mut bad = keyed(intake(ledger.seller, &authorization()), "order-2", 2);
    bad.authorization.valid_before = bad.authorization.valid_after;

    let refused = ledger.store().accept(vec![good, bad]).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    for table in ["payments", "payment_events", "webhook_deliveries", "idempotency_keys"] {
        assert_eq!(ledger.count(table, "true").await, 0, "{table}");
    }
}

#[tokio::test]
async fn an_empty_batch_has_no_answers() {
    let ledger = Ledger::open().await;
    assert!(ledger.store().accept(Vec::new()).await.unwrap().is_empty());
}

#[tokio::test]
async fn old_keys_are_forgotten_up_to_the_limit_and_free_again() {
    let ledger = Ledger::open().await;
    for (n, at) in [0, 10, 20, 30].into_iter().enumerate() {
        let mut old = keyed(intake(ledger.seller, &authorization()), &format!("order-{n}"), 1);
        old.accepted_at = later(at);
        new(ledger.accept(old).await);
    }

    assert_eq!(ledger.store().forget_idempotency_keys(later(30), 2).await.unwrap(), 2);
    assert_eq!(ledger.store().forget_idempotency_keys(later(30), 2).await.unwrap(), 1);
    assert_eq!(ledger.store().forget_idempotency_keys(later(30), 2).await.unwrap(), 0);
    let again = keyed(intake(ledger.seller, &authorization()), "order-0", 2);
    assert!(matches!(ledger.accept(again).await, Acceptance::New(_)));
}
