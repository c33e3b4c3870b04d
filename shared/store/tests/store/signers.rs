//! Signers: each of them held by one process at a time.

use std::collections::HashSet;
use std::time::Duration;

use domain::{Address, ChainId, SignerId, TransactionId, U256};
use futures::future::join_all;
use store::{AttemptKind, Lane, LaneRequest, Renewal, SignerEvent, Store, Stored};
use testkit::eventually;
use uuid::Uuid;

use crate::ledger::{Ledger, NOW, PATIENCE, chain, unique_address};
use crate::settling::{LONG, OVER, attempt, round, take};

fn wanted(addresses: &[Address], limit: i64) -> LaneRequest {
    LaneRequest {
        owner: Uuid::new_v4(),
        chain: chain(),
        addresses: addresses.to_vec(),
        limit,
        lease: LONG,
    }
}

async fn renewed(ledger: &Ledger, lane: &Lane, lease: Duration) -> bool {
    matches!(ledger.store().renew_lane(lane, lease).await.unwrap(), Renewal::Held { .. })
}

async fn signers(ledger: &Ledger, count: usize) -> Vec<Address> {
    let mut signers = Vec::with_capacity(count);
    for _ in 0..count {
        signers.push(ledger.signer().await);
    }
    signers
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_same_instant_each_signer_is_leased_once() {
    let ledger = Ledger::open().await;
    let addresses = signers(&ledger, 10).await;
    let processes: Vec<Store> = (0..8).map(|_| ledger.handle(1)).collect();
    let taking = processes.into_iter().map(|store| {
        let wanted = wanted(&addresses, 3);
        tokio::spawn(async move { store.take_lanes(&wanted).await.unwrap() })
    });

    let lanes: Vec<Vec<Lane>> = join_all(taking).await.into_iter().map(Result::unwrap).collect();
    assert!(lanes.iter().all(|lanes| lanes.len() <= 3));
    let lanes = lanes.concat();
    let leased: HashSet<Address> = lanes.iter().map(|lane| lane.address).collect();
    assert_eq!((lanes.len(), leased.len()), (10, 10));
    assert!(lanes.iter().all(|lane| lane.epoch == 1));
}

#[tokio::test]
async fn no_more_signers_are_leased_than_are_wanted_however_the_server_plans_it() {
    let ledger = Ledger::open().await;
    let addresses = signers(&ledger, 20).await;
    let store = ledger.handle(1);
    // Leaves nothing but nested loops, which may run a subquery once for each row.
    for method in ["hashjoin", "mergejoin", "hashagg", "material", "memoize", "sort"] {
        let set = format!("set enable_{method} = off");
        sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(store.pool()).await.unwrap();
    }
    ledger.sql("analyze signers").await.unwrap();
    assert_eq!(store.take_lanes(&wanted(&addresses, 2)).await.unwrap().len(), 2);
}

#[tokio::test]
async fn only_signers_that_were_asked_for_are_leased() {
    let ledger = Ledger::open().await;
    let (mine, _theirs) = (ledger.signer().await, ledger.signer().await);
    let mainnet = ChainId::new(1).unwrap();
    let id = SignerId::new(Uuid::now_v7());
    ledger.store().register_signer(id, mainnet, mine).await.unwrap();

    let lanes = ledger.store().take_lanes(&wanted(&[mine, unique_address()], 10)).await.unwrap();
    assert_eq!(lanes.len(), 1);
    assert_eq!((lanes[0].address, lanes[0].chain), (mine, chain()));
}

#[tokio::test]
async fn a_signer_is_registered_once() {
    let ledger = Ledger::open().await;
    let address = ledger.signer().await;
    let id = SignerId::new(Uuid::now_v7());
    ledger.store().register_signer(id, chain(), address).await.unwrap();

    let known = ledger.store().list_signers().await.unwrap();
    assert_eq!(known.len(), 1);
    assert_ne!(known[0].id, id);
    assert_eq!((known[0].address, known[0].lease, known[0].next_nonce), (address, None, 0));
}

/// Everything a holder can store under its lease.
async fn everything_is_refused(ledger: &Ledger, lane: &Lane, open: TransactionId) {
    let store = ledger.store();
    let payments = ledger.approved(1).await;
    let stored = store.store_round(lane, round(1, &payments), NOW).await.unwrap();
    assert!(matches!(stored, Stored::LeaseLost), "{stored:?}");
    let bump = attempt(AttemptKind::Payload);
    assert!(!store.store_attempt(lane, open, &bump, NOW).await.unwrap());
    assert!(!store.store_filler(lane, round(1, &[]), NOW).await.unwrap());
    assert_eq!(store.align_nonce(lane, 50).await.unwrap(), None);
    assert_eq!(ledger.reload(payments[0].id).await, payments[0]);
}

#[tokio::test]
async fn an_expired_lease_is_taken_over_and_its_old_holder_can_do_nothing_more() {
    let ledger = Ledger::open().await;
    let address = ledger.signer().await;
    let old = take(ledger.store(), address, LONG).await.unwrap();
    let (open, _) = ledger.carried(&old, 0, &ledger.approved(1).await).await;
    assert!(take(ledger.store(), address, LONG).await.is_none(), "it is held");
    assert!(renewed(&ledger, &old, OVER).await);
    let new = eventually(PATIENCE, || take(ledger.store(), address, LONG)).await;
    assert_eq!((new.epoch, new.next_nonce), (old.epoch + 1, 1));

    everything_is_refused(&ledger, &old, open).await;
    assert!(!renewed(&ledger, &old, LONG).await);
    ledger.store().release_lane(&old).await.unwrap();
    assert!(renewed(&ledger, &new, LONG).await, "the new holder holds it still");
    assert_eq!(ledger.count("chain_transactions", "true").await, 1);
    assert_eq!(ledger.count("transaction_attempts", "true").await, 1);
    assert_eq!(ledger.store().list_signers().await.unwrap()[0].next_nonce, 1);
}

#[tokio::test]
async fn a_holder_whose_lease_has_run_out_stores_nothing_although_nobody_has_taken_it() {
    let ledger = Ledger::open().await;
    let lane = ledger.lane().await;
    let (open, _) = ledger.carried(&lane, 0, &ledger.approved(1).await).await;
    assert!(renewed(&ledger, &lane, OVER).await);

    everything_is_refused(&ledger, &lane, open).await;
    assert!(renewed(&ledger, &lane, LONG).await, "it is still the last holder");
    assert_eq!(ledger.store().align_nonce(&lane, 0).await.unwrap(), Some(1));
}

#[tokio::test]
async fn another_owner_with_the_same_epoch_is_not_the_holder() {
    let ledger = Ledger::open().await;
    let lane = ledger.lane().await;
    let (open, _) = ledger.carried(&lane, 0, &ledger.approved(1).await).await;
    let stranger = Lane { owner: Uuid::new_v4(), ..lane };

    everything_is_refused(&ledger, &stranger, open).await;
    assert!(!renewed(&ledger, &stranger, LONG).await);
    ledger.store().release_lane(&stranger).await.unwrap();
    assert!(renewed(&ledger, &lane, LONG).await);
}

#[tokio::test]
async fn a_process_that_leased_its_signer_anew_stores_nothing_under_the_old_lease() {
    let ledger = Ledger::open().await;
    let old = ledger.lane().await;
    let (open, _) = ledger.carried(&old, 0, &ledger.approved(1).await).await;
    ledger.store().release_lane(&old).await.unwrap();
    let same = LaneRequest { owner: old.owner, ..wanted(&[old.address], 1) };
    let new = ledger.store().take_lanes(&same).await.unwrap().remove(0);
    assert_eq!((new.owner, new.epoch), (old.owner, old.epoch + 1));

    everything_is_refused(&ledger, &old, open).await;
    assert!(!renewed(&ledger, &old, LONG).await);
    ledger.store().release_lane(&old).await.unwrap();
    assert!(renewed(&ledger, &new, LONG).await);
}

#[tokio::test]
async fn a_released_signer_is_free_at_once() {
    let ledger = Ledger::open().await;
    let address = ledger.signer().await;
    let first = take(ledger.store(), address, LONG).await.unwrap();
    ledger.store().release_lane(&first).await.unwrap();

    let second = take(ledger.store(), address, LONG).await.unwrap();
    assert_eq!(second.epoch, 2);
    assert!(!renewed(&ledger, &first, LONG).await);
}

#[tokio::test]
async fn a_paused_signer_is_not_leased_anew_and_its_holder_is_told() {
    let ledger = Ledger::open().await;
    let address = ledger.signer().await;
    let lane = take(ledger.store(), address, LONG).await.unwrap();
    assert!(ledger.store().pause_signer(lane.signer, "key rotation").await.unwrap());
    let renewal = ledger.store().renew_lane(&lane, LONG).await.unwrap();
    assert_eq!(renewal, Renewal::Held { paused: true });
    assert!(ledger.store().release_lane(&lane).await.unwrap());
    assert!(take(ledger.store(), address, LONG).await.is_none());
    let row = ledger.store().list_signers().await.unwrap().remove(0);
    assert_eq!(row.paused_reason.as_deref(), Some("key rotation"));

    assert!(ledger.store().resume_signer(lane.signer).await.unwrap());
    assert!(!take(ledger.store(), address, LONG).await.unwrap().paused);
}

#[tokio::test]
async fn once_a_signer_is_paused_its_holder_stores_no_round_and_still_replaces_and_fills() {
    let ledger = Ledger::open().await;
    let lane = ledger.lane().await;
    let (open, _) = ledger.carried(&lane, 0, &ledger.approved(1).await).await;
    ledger.store().pause_signer(lane.signer, "key rotation").await.unwrap();

    let payments = ledger.approved(1).await;
    let stored = ledger.store().store_round(&lane, round(1, &payments), NOW).await.unwrap();
    assert!(matches!(stored, Stored::Paused), "{stored:?}");
    assert_eq!(ledger.reload(payments[0].id).await, payments[0]);
    assert_eq!(ledger.store().list_signers().await.unwrap()[0].next_nonce, 1);
    let bump = attempt(AttemptKind::Payload);
    assert!(ledger.store().store_attempt(&lane, open, &bump, NOW).await.unwrap());
    assert!(ledger.store().store_filler(&lane, round(7, &[]), NOW).await.unwrap());

    ledger.store().resume_signer(lane.signer).await.unwrap();
    ledger.carried(&lane, 1, &payments).await;
}

#[tokio::test]
async fn a_paused_signer_with_something_in_flight_is_leased_on_top_of_what_is_wanted() {
    let ledger = Ledger::open().await;
    let paused = ledger.lane().await;
    ledger.carried(&paused, 0, &ledger.approved(1).await).await;
    ledger.store().pause_signer(paused.signer, "key rotation").await.unwrap();
    ledger.store().release_lane(&paused).await.unwrap();
    let (free, idle) = (ledger.signer().await, ledger.lane().await);
    ledger.store().pause_signer(idle.signer, "key rotation").await.unwrap();
    ledger.store().release_lane(&idle).await.unwrap();

    let all = [paused.address, free, idle.address];
    let mut lanes = ledger.store().take_lanes(&wanted(&all, 1)).await.unwrap();
    lanes.sort_by_key(|lane| lane.paused);
    let taken: Vec<_> = lanes.iter().map(|lane| (lane.address, lane.paused)).collect();
    assert_eq!(taken, [(free, false), (paused.address, true)]);
    assert!(ledger.store().take_lanes(&wanted(&all, 10)).await.unwrap().is_empty());
}

#[tokio::test]
async fn signers_with_something_in_flight_are_leased_first() {
    let ledger = Ledger::open().await;
    let (idle, busy) = (ledger.signer().await, ledger.lane().await);
    ledger.carried(&busy, 0, &ledger.approved(1).await).await;
    ledger.store().release_lane(&busy).await.unwrap();

    let lanes = ledger.store().take_lanes(&wanted(&[idle, busy.address], 1)).await.unwrap();
    assert_eq!(lanes[0].address, busy.address);
    let known = ledger.store().list_signers().await.unwrap();
    let in_flight = |address| known.iter().find(|row| row.address == address).unwrap().in_flight;
    assert_eq!((in_flight(idle), in_flight(busy.address)), (0, 1));
}

/// What happened to a signer, each as `type key=value …`.
async fn journal(ledger: &Ledger, signer: SignerId) -> Vec<String> {
    let events = ledger.store().signer_events(signer, 100).await.unwrap();
    let line = |event: store::SignerEventRow| {
        let detail = event.detail.as_object().unwrap().clone();
        let detail = detail.into_iter().filter(|(key, _)| key != "owner");
        detail.fold(event.r#type, |line, (key, value)| format!("{line} {key}={value}"))
    };
    events.into_iter().map(line).collect()
}

#[tokio::test]
async fn everything_that_happens_to_a_signer_is_in_its_journal() {
    let ledger = Ledger::open().await;
    let address = ledger.signer().await;
    let first = take(ledger.store(), address, OVER).await.unwrap();
    let lane = eventually(PATIENCE, || take(ledger.store(), address, LONG)).await;
    let store = ledger.store();
    store.register_signer(SignerId::new(Uuid::now_v7()), chain(), address).await.unwrap();
    assert!(!store.release_lane(&first).await.unwrap(), "it was lost");
    for reason in ["why", "why", "better why"] {
        store.pause_signer(lane.signer, reason).await.unwrap();
    }
    store.resume_signer(lane.signer).await.unwrap();
    assert!(!store.resume_signer(lane.signer).await.unwrap());
    let balance = U256::MAX;
    for event in [SignerEvent::OutOfGas { balance: None }, SignerEvent::Funded { balance }] {
        store.note_signer_event(lane.signer, &event).await.unwrap();
    }
    store.release_lane(&lane).await.unwrap();

    let funded = format!("funded balance_wei=\"{balance}\"");
    let expected = [
        "registered",
        "lease_taken epoch=1",
        "lease_lost epoch=1",
        "lease_taken epoch=2",
        "paused reason=\"why\"",
        "paused reason=\"better why\"",
        "resumed",
        "out_of_gas balance_wei=null",
        &funded,
        "lease_released epoch=2",
    ];
    assert_eq!(journal(&ledger, lane.signer).await, expected);
    let newest = store.signer_events(lane.signer, 2).await.unwrap();
    assert_eq!(
        newest.iter().map(|event| event.r#type.as_str()).collect::<Vec<_>>(),
        ["funded", "lease_released"]
    );
}

#[tokio::test]
async fn the_next_nonce_is_above_everything_stored_and_what_the_chain_expects() {
    let ledger = Ledger::open().await;
    let lane = ledger.lane().await;
    let store = ledger.store();
    assert_eq!(store.align_nonce(&lane, 5).await.unwrap(), Some(5));
    assert_eq!(store.align_nonce(&lane, 3).await.unwrap(), Some(5), "it never falls");
    ledger.carried(&lane, 5, &ledger.approved(1).await).await;
    ledger.sql("update signers set next_nonce = 0").await.unwrap();
    assert_eq!(store.align_nonce(&lane, 0).await.unwrap(), Some(6), "a stored nonce is taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stops_in_the_middle_of_a_transaction_does_not_keep_its_signer() {
    let ledger = Ledger::open().await;
    let address = ledger.signer().await;
    let lane = take(ledger.store(), address, Duration::ZERO).await.unwrap();
    let lock = format!("select 1 from signers where id = '{}' for update", lane.signer.uuid());
    let _stopped = ledger.hold(&lock).await;
    assert!(take(ledger.store(), address, LONG).await.is_none(), "its row is locked");

    let next = eventually(PATIENCE, || take(ledger.store(), address, LONG)).await;
    assert_eq!(next.epoch, lane.epoch + 1);
}
