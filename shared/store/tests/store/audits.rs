//! What an audit reads, and who may make it.

use std::time::Duration;

use domain::{Event, FailureCode, Inclusion, Payment, PaymentId};
use futures::future::join_all;
use store::{AuditClaim, AuditResult, BlockRange, RecordedFact};
use uuid::Uuid;

use crate::ledger::{Ledger, authorization, chain, unique_hash};
use crate::settling::{LONG, OVER, finalized, follow_up, inclusion, mined};

const HOUR: Duration = Duration::from_secs(3_600);

fn blocks(from: u64, to: u64) -> BlockRange {
    BlockRange { chain: chain(), from, to }
}

fn result(to: u64, caught_up: bool) -> AuditResult {
    AuditResult { range: blocks(1, to), caught_up, payments: 2, uses: 3, differences: 1 }
}

impl Ledger {
    /// Payments that somebody else's transactions settled, at these heights.
    async fn settled_at(&self, heights: &[u64]) -> Vec<Payment> {
        let mut settled = Vec::new();
        for height in heights {
            let payments = self.payments(1).await;
            let included = Inclusion { block_number: *height, ..inclusion() };
            let confirmed = self.apply(&payments, Event::Included(included)).await;
            settled.extend(self.apply(&confirmed, Event::Finalized).await);
        }
        settled
    }

    /// A transaction of ours with one settled payment, both recorded in block 101.
    async fn settled_by_us(&self) {
        let lane = self.lane().await;
        let (id, payments) = self.carried(&lane, 0, &self.approved(1).await).await;
        let sent = self.transaction(id).await;
        let block = mined(sent.attempts[0].hash);
        let included = follow_up(&sent, block, &payments, Event::Included(inclusion()));
        let confirmed =
            self.store().follow_up(included, crate::ledger::NOW).await.unwrap().unwrap();
        let confirmed: Vec<Payment> = confirmed.moved().cloned().collect();
        let sent = self.transaction(id).await;
        let last = follow_up(&sent, finalized(block), &confirmed, Event::Finalized);
        self.store().follow_up(last, crate::ledger::NOW).await.unwrap().unwrap();
    }

    /// Everything that is recorded in these blocks, read in pages of so many rows.
    async fn recorded(&self, range: BlockRange, page: i64) -> Vec<(u64, Option<PaymentId>)> {
        let (mut all, mut last) = (Vec::new(), None);
        loop {
            let rows = self.store().recorded_in(range, last.as_ref(), page).await.unwrap();
            let Some(newest) = rows.last().cloned() else { return all };
            last = Some(newest);
            all.extend(rows.into_iter().map(|row| match row.fact {
                RecordedFact::Settled(payment) => (row.block_number, Some(payment.id)),
                RecordedFact::Mined(_) => (row.block_number, None),
            }));
        }
    }

    async fn claim(&self, lease: Duration) -> Option<AuditClaim> {
        self.store().claim_audit(chain(), Uuid::new_v4(), HOUR, lease).await.unwrap()
    }

    async fn finish(&self, claim: &AuditClaim, result: &AuditResult) -> bool {
        self.store().finish_audit(claim, result).await.unwrap()
    }
}

#[tokio::test]
async fn what_is_recorded_in_blocks_is_read_in_their_order_and_each_row_once() {
    let ledger = Ledger::open().await;
    ledger.settled_by_us().await;
    let heights = [104, 101, 102, 101, 105, 100, 103, 101];
    let settled = ledger.settled_at(&heights).await;
    // Confirmed, and ended: neither is recorded as settled.
    let confirmed = ledger.payments(1).await;
    ledger.apply(&confirmed, Event::Included(inclusion())).await;
    let denied = ledger.payments(1).await;
    ledger.apply(&denied, Event::Rejected(FailureCode::Denied)).await;

    for page in 1..=11 {
        let read = ledger.recorded(blocks(101, 104), page).await;
        let found: Vec<u64> = read.iter().map(|(height, _)| *height).collect();
        // Three of the others, one of ours and its transaction stand in block 101.
        assert_eq!(found, [101, 101, 101, 101, 101, 102, 103, 104][..], "page {page}");
        let known = settled.iter().map(|payment| payment.id);
        let read: Vec<PaymentId> = read.into_iter().filter_map(|(_, payment)| payment).collect();
        assert_eq!(known.filter(|id| read.contains(id)).count(), 6, "page {page}");
    }
}

#[tokio::test]
async fn a_place_that_several_payments_name_is_found_with_all_of_them() {
    let ledger = Ledger::open().await;
    let settled = ledger.settled_at(&[101, 102, 102, 103]).await;
    assert_eq!(ledger.store().shared_places(blocks(0, 200)).await.unwrap(), []);
    let ids: Vec<String> =
        settled[1..3].iter().map(|payment| format!("'{}'", payment.id.uuid())).collect();
    let same =
        format!("update payments set tx_hash = sha256('x') where id in ({})", ids.join(", "));
    ledger.sql(&same).await.unwrap();

    let shared = ledger.store().shared_places(blocks(102, 102)).await.unwrap();

    let mut expected = vec![settled[1].id, settled[2].id];
    expected.sort();
    assert_eq!(shared.len(), 1);
    assert_eq!((shared[0].log_index, &shared[0].payments), (3, &expected));
    assert_eq!(ledger.store().shared_places(blocks(103, 200)).await.unwrap(), []);
}

#[tokio::test]
async fn payments_and_transactions_are_found_by_what_the_chain_says_of_them() {
    let ledger = Ledger::open().await;
    let lane = ledger.lane().await;
    let (id, payments) = ledger.carried(&lane, 0, &ledger.approved(2).await).await;
    let ours = ledger.transaction(id).await.attempts[0].hash;
    let known = payments[1].authorization.clone();
    let key = |of: &domain::Authorization| (of.asset, of.payer, of.nonce);
    let other_nonce = domain::Authorization { nonce: unique_hash(), ..known.clone() };
    let other_payer = domain::Authorization { payer: authorization().payer, ..known.clone() };

    let asked = [key(&other_nonce), key(&known), key(&other_payer)];
    let found = ledger.store().payments_of(chain(), &asked).await.unwrap();
    let ids: Vec<PaymentId> = found.iter().map(|payment| payment.id).collect();
    assert_eq!(ids, [payments[1].id]);
    let signed = ledger.store().signed_by_us(&[unique_hash(), ours]).await.unwrap();
    assert_eq!(signed.into_iter().collect::<Vec<_>>(), [ours]);
}

#[tokio::test]
async fn who_waited_while_an_audit_was_finished_makes_no_second_one() {
    let ledger = Ledger::open().await;
    ledger.claim(LONG).await.unwrap();
    let mut finishing = ledger.store().pool().begin().await.unwrap();
    let finish = "update audit_runs set finished_at = now(), from_block = 1, to_block = 5,
                  caught_up = true, payments = 0, uses = 0, differences = 0";
    sqlx::raw_sql(finish).execute(&mut *finishing).await.unwrap();

    let (late, ()) = futures::join!(ledger.claim(LONG), async {
        ledger.until_waiting(1).await;
        finishing.commit().await.unwrap();
    });

    assert_eq!(late, None);
}

#[tokio::test]
async fn an_audit_is_claimed_by_one_and_again_only_when_it_is_due() {
    let ledger = Ledger::open().await;
    let claims = join_all((0..8).map(|_| ledger.claim(LONG))).await;
    let claims: Vec<AuditClaim> = claims.into_iter().flatten().collect();
    let [claim] = claims[..] else { panic!("one claim was expected: {claims:?}") };
    assert_eq!(claim.since, None);
    assert_eq!(ledger.claim(LONG).await, None);

    assert!(ledger.finish(&claim, &result(50, true)).await);
    assert_eq!(ledger.claim(LONG).await, None);
    ledger.sql("update audit_runs set finished_at = now() - interval '1 hour'").await.unwrap();

    let next = ledger.claim(LONG).await.unwrap();
    assert_eq!(next.since, Some(50));
    let last = ledger.store().last_audit(chain()).await.unwrap().unwrap();
    assert_eq!(last.to, 50);
}

#[tokio::test]
async fn an_audit_that_did_not_catch_up_is_due_at_once() {
    let ledger = Ledger::open().await;
    let claim = ledger.claim(LONG).await.unwrap();
    assert!(ledger.finish(&claim, &result(50, false)).await);
    assert_eq!(ledger.claim(LONG).await.unwrap().since, Some(50));
}

#[tokio::test]
async fn who_lost_an_audit_can_neither_prolong_nor_finish_it() {
    let ledger = Ledger::open().await;
    let lost = ledger.claim(OVER).await.unwrap();
    let taken = ledger.claim(LONG).await.unwrap();

    assert!(!ledger.store().renew_audit(&lost, LONG).await.unwrap());
    assert!(!ledger.finish(&lost, &result(50, true)).await);
    assert_eq!(ledger.store().last_audit(chain()).await.unwrap(), None);

    assert!(ledger.store().renew_audit(&taken, LONG).await.unwrap());
    assert!(ledger.finish(&taken, &result(60, true)).await);
    assert!(!ledger.finish(&taken, &result(70, true)).await);
    assert_eq!(ledger.count("audit_runs", "to_block = 60 and differences = 1").await, 1);
}
