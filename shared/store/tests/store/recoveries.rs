//! Endpoints that are told again what they missed.

use domain::{EndpointId, EventType, JobId};
use store::{Announce, Begun, DeliveryFilter, DueDeliveries, RecoverySpec, RecoveryState};
use uuid::Uuid;

use crate::ledger::{Ledger, NOW, later};

/// Everything that happened within an hour of the beginning.
fn all(ledger: &Ledger, endpoint: EndpointId) -> RecoverySpec {
    RecoverySpec {
        account: ledger.seller,
        endpoint,
        since: NOW,
        until: later(3_600),
        delivered_too: false,
        untold_too: false,
    }
}

impl Ledger {
    async fn hears_accepted(&self) -> EndpointId {
        self.endpoint(self.seller, &[EventType::Accepted]).await
    }

    async fn set_all(&self, state: &str) {
        let sql = format!(
            "update webhook_deliveries set state = '{state}', due_at = null, finished_at = now()"
        );
        self.sql(&sql).await.unwrap();
        // Ids carry the time of the test, events that of its story.
        self.sql(
            "update webhook_deliveries
             set id = (lpad(to_hex((extract(epoch from created_at) * 1000)::bigint), 12, '0')
                 || '7000' || right(replace(id::text, '-', ''), 16))::uuid",
        )
        .await
        .unwrap();
    }

    async fn begin(&self, spec: &RecoverySpec) -> JobId {
        let id = JobId::new(Uuid::now_v7());
        let begun = self.store().begin_recovery(id, spec, later(10)).await.unwrap();
        assert_eq!(begun, Begun::Running);
        id
    }

    /// Steps until nothing goes on; the sizes of the portions.
    async fn step(&self, portion: i64) -> Vec<usize> {
        let mut portions = Vec::new();
        while let Some(step) = self.store().step_recovery(portion, later(20)).await.unwrap() {
            portions.push(step.deliveries.len());
            if !step.goes_on {
                break;
            }
        }
        portions
    }

    /// Steps until this one is over, whatever else the server is doing.
    async fn step_until_done(&self, job: JobId) {
        testkit::eventually(crate::ledger::PATIENCE, || async {
            self.step(100).await;
            let recovery = self.store().find_recovery(self.seller, job).await.unwrap().unwrap();
            (recovery.state == RecoveryState::Done).then_some(())
        })
        .await;
    }

    async fn kinds(&self, endpoint: EndpointId) -> Vec<(String, &'static str)> {
        let filter = DeliveryFilter { account: self.seller, endpoint, before: None };
        let rows = self.store().list_deliveries(&filter, 100).await.unwrap();
        rows.into_iter().map(|row| (row.state, row.kind.as_str())).collect()
    }
}

#[tokio::test]
async fn what_was_given_up_is_on_its_way_again() {
    let ledger = Ledger::open().await;
    let endpoint = ledger.hears_accepted().await;
    ledger.payments(3).await;
    ledger.set_all("exhausted").await;
    let spec = all(&ledger, endpoint);
    assert_eq!(ledger.store().count_recovery(&spec, 100).await.unwrap().again, 3);

    let job = ledger.begin(&spec).await;
    ledger.step(100).await;

    assert_eq!(ledger.kinds(endpoint).await, vec![("pending".to_owned(), "replay"); 3]);
    let recovery = ledger.store().find_recovery(ledger.seller, job).await.unwrap().unwrap();
    assert_eq!((recovery.state, recovery.recovered), (RecoveryState::Done, 3));
    assert_eq!(ledger.store().step_recovery(100, later(30)).await.unwrap(), None);
}

#[tokio::test]
async fn what_arrived_is_sent_again_only_to_who_asks_for_it() {
    let ledger = Ledger::open().await;
    let endpoint = ledger.hears_accepted().await;
    ledger.payments(2).await;
    ledger.set_all("delivered").await;
    ledger.begin(&all(&ledger, endpoint)).await;
    assert_eq!(ledger.step(100).await, [0]);
    ledger.begin(&RecoverySpec { delivered_too: true, ..all(&ledger, endpoint) }).await;
    assert_eq!(ledger.step(100).await, [2]);
}

#[tokio::test]
async fn events_are_told_of_which_an_endpoint_was_never_told_each_once() {
    let ledger = Ledger::open().await;
    ledger.payments(5).await;
    let endpoint = ledger.hears_accepted().await;
    let other = ledger.endpoint(ledger.seller, &[EventType::Settled]).await;
    ledger.payments(2).await;
    let spec = RecoverySpec { untold_too: true, ..all(&ledger, endpoint) };
    assert_eq!(ledger.store().count_recovery(&spec, 100).await.unwrap().untold, 5);

    let job = ledger.begin(&spec).await;
    ledger.step_until_done(job).await;

    let kinds = ledger.kinds(endpoint).await;
    let replays = kinds.iter().filter(|(_, kind)| *kind == "replay").count();
    assert_eq!((kinds.len(), replays), (7, 5));
    assert!(ledger.kinds(other).await.is_empty());
}

#[tokio::test]
async fn only_a_portion_is_on_its_way_at_once() {
    let ledger = Ledger::open().await;
    let endpoint = ledger.hears_accepted().await;
    ledger.payments(250).await;
    ledger.set_all("exhausted").await;
    ledger.begin(&all(&ledger, endpoint)).await;
    assert_eq!(ledger.step(100).await, [100, 0]);

    let arrived = "update webhook_deliveries set state = 'delivered', due_at = null,
        finished_at = now() where state = 'pending'";
    ledger.sql(arrived).await.unwrap();
    assert_eq!(ledger.step(100).await, [100, 0]);
    ledger.sql(arrived).await.unwrap();
    assert_eq!(ledger.step(100).await, [50]);
}

#[tokio::test]
async fn an_endpoint_has_one_recovery_at_a_time_and_none_while_it_is_disabled() {
    let ledger = Ledger::open().await;
    let endpoint = ledger.hears_accepted().await;
    let spec = all(&ledger, endpoint);
    ledger.begin(&spec).await;
    let again = JobId::new(Uuid::now_v7());
    let store = ledger.store();
    assert_eq!(store.begin_recovery(again, &spec, NOW).await.unwrap(), Begun::Busy);

    store.disable_endpoint(endpoint, "why", Announce::ToNobody, NOW).await.unwrap();
    assert_eq!(store.begin_recovery(again, &spec, NOW).await.unwrap(), Begun::EndpointIsDown);
    let stranger = RecoverySpec { account: ledger.account().await, ..spec };
    assert_eq!(store.begin_recovery(again, &stranger, NOW).await.unwrap(), Begun::Unknown);
}

#[tokio::test]
async fn a_recovery_ends_with_its_endpoint() {
    let ledger = Ledger::open().await;
    let endpoint = ledger.hears_accepted().await;
    let job = ledger.begin(&all(&ledger, endpoint)).await;
    ledger.store().delete_endpoint(ledger.seller, endpoint, NOW).await.unwrap();
    ledger.step(100).await;
    let recovery = ledger.store().find_recovery(ledger.seller, job).await.unwrap().unwrap();
    assert_eq!(recovery.state, RecoveryState::Canceled);
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_at_the_same_instant_put_each_delivery_on_its_way_once() {
    let ledger = Ledger::open().await;
    let endpoint = ledger.hears_accepted().await;
    ledger.payments(200).await;
    ledger.set_all("exhausted").await;
    let job = ledger.begin(&all(&ledger, endpoint)).await;
    let processes = (0..4).map(|_| async { ledger.step(60).await });
    futures::future::join_all(processes).await;
    let recovery = ledger.store().find_recovery(ledger.seller, job).await.unwrap().unwrap();
    let wanted = DueDeliveries { limit: 1000, share: 1000, except: &[] };
    let due = ledger.store().due_deliveries(wanted, later(20)).await.unwrap();
    assert_eq!((due.len(), recovery.recovered), (60, 60));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_waits_for_events_that_are_not_to_be_seen_yet() {
    let ledger = Ledger::open().await;
    let older = ledger.hold("create table older_than_the_event (id int)").await;
    ledger.payments(1).await;
    let endpoint = ledger.hears_accepted().await;
    let spec = RecoverySpec { untold_too: true, ..all(&ledger, endpoint) };
    let job = ledger.begin(&spec).await;
    ledger.step(100).await;
    assert!(ledger.kinds(endpoint).await.is_empty());

    drop(older);
    ledger.step_until_done(job).await;
    assert_eq!(ledger.kinds(endpoint).await.len(), 1);
}

/// The events of all payments once more, by a transaction that is not over yet.
const LATE: &str =
    "insert into payment_events (payment_id, version, id, account_id, type, state, at, detail)
    select payment_id, version + 1, gen_random_uuid(), account_id, type, state, at, detail
    from payment_events";

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_tells_what_was_still_being_written_when_it_began() {
    let ledger = Ledger::open().await;
    ledger.payments(1).await;
    let writing = ledger.hold(LATE).await;
    let endpoint = ledger.hears_accepted().await;
    let spec = RecoverySpec { untold_too: true, ..all(&ledger, endpoint) };
    let job = ledger.begin(&spec).await;
    ledger.step(100).await;

    writing.commit().await.unwrap();
    ledger.step_until_done(job).await;

    assert_eq!(ledger.kinds(endpoint).await.len(), 2);
}

#[tokio::test]
async fn a_recovery_ends_though_its_account_never_rests() {
    let ledger = Ledger::open().await;
    ledger.payments(3).await;
    let endpoint = ledger.hears_accepted().await;
    let spec = RecoverySpec { untold_too: true, ..all(&ledger, endpoint) };
    let job = ledger.begin(&spec).await;
    testkit::eventually(crate::ledger::PATIENCE, || async {
        ledger.payments(1).await;
        ledger.store().step_recovery(100, later(20)).await.unwrap();
        let recovery = ledger.store().find_recovery(ledger.seller, job).await.unwrap().unwrap();
        (recovery.state == RecoveryState::Done).then_some(())
    })
    .await;
    let replays = ledger.kinds(endpoint).await.into_iter().filter(|(_, kind)| *kind == "replay");
    assert_eq!(replays.count(), 3);
}
