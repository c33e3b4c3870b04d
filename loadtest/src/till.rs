//! Payments that are settled in the ledger alone, at fixed times: neither chain nor settlement takes part, so that what
//! is measured is what comes after them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::{
    Amount, Authorization, B256, Event, EventId, Finality, Inclusion, Payment, PaymentId,
    RiskContext, Signature, Timestamp, TransferMethod,
};
use futures::{StreamExt, stream};
use queue::Herald;
use runtime::Clock;
use store::{Acceptance, Change, Intake};
use testkit::{Anvil, Seller};
use tokio::time::Instant;
use uuid::Uuid;

use crate::ledger::until;
use crate::schedule::{Arrivals, schedule};
use crate::world::World;

/// Payments that are accepted in one transaction, and transactions at once.
const INTAKE: usize = 500;
const INTAKES: usize = 2;

/// The most payments that are settled in one commit, as settlement does it.
const BATCH: usize = 139;

/// Atomic units of each payment.
const AMOUNT: u64 = 1_000;

/// Longer than any run.
const VALID_SECS: i64 = 6 * 3_600;

/// A block that no chain of a test reaches.
const BLOCK: u64 = 1_000_000_000;

/// A seller who hears of every end.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) seller: Seller,
    /// The endpoint's name.
    pub(crate) endpoint: String,
    /// Its number at the receiver.
    pub(crate) number: usize,
}

/// Settles payments of sellers who listen.
#[derive(Debug)]
pub(crate) struct Till<'a> {
    pub(crate) world: &'a World,
    pub(crate) listeners: Vec<Listener>,
    herald: Herald,
}

/// A payment that is to be settled: when, counted from the beginning, and whose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    after: Duration,
    listener: usize,
}

impl Due {
    /// Whose.
    pub(crate) const fn listener(&self) -> usize {
        self.listener
    }
}

/// The same when it is accepted.
#[derive(Debug)]
pub(crate) struct Sale {
    after: Duration,
    payment: Payment,
}

/// How often what is due by then is settled, and how many commits are under way at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beat {
    every: Duration,
    commits: usize,
}

impl Beat {
    /// One after the other.
    pub(crate) const EVEN: Self = Self { every: Duration::from_millis(20), commits: 4 };

    /// All of a second together, as a chain with blocks of a second settles them.
    pub(crate) const BLOCK: Self = Self { every: Duration::from_secs(1), commits: 2 };
}

/// What was settled.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pub(crate) payments: Vec<PaymentId>,
    /// How much after its time the latest was begun: by the generator's or the ledger's fault.
    pub(crate) latest: Duration,
}

/// When payments of these listeners are to be settled, each as often as any other.
pub(crate) fn traffic(
    arrivals: Arrivals,
    rate: u64,
    time: Duration,
    listeners: &[usize],
    seed: u64,
) -> Vec<Due> {
    let count = usize::try_from(rate.saturating_mul(time.as_secs())).unwrap();
    let times = schedule(arrivals, rate, count, seed);
    let each = listeners.iter().copied().cycle();
    times.into_iter().zip(each).map(|(after, listener)| Due { after, listener }).collect()
}

/// Two kinds of traffic at once.
pub(crate) fn together(one: Vec<Due>, other: Vec<Due>) -> Vec<Due> {
    let mut both = [one, other].concat();
    both.sort_by_key(|due| due.after);
    both
}

impl<'a> Till<'a> {
    /// With so many sellers, each with an endpoint.
    pub(crate) async fn open(world: &'a World, sellers: usize) -> Self {
        let mut listeners = Vec::with_capacity(sellers);
        for _ in 0..sellers {
            let seller = Seller::create(&world.database.store).await;
            let number = world.receiver.next_seller();
            let endpoint = world.subscribe(&seller).await;
            listeners.push(Listener { seller, endpoint, number });
        }
        Self { world, listeners, herald: Herald::new(&world.queue()) }
    }

    /// Every listener.
    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.listeners.len()).collect()
    }

    /// Accepts what is to be settled later, and leaves nothing of that work to be done meanwhile.
    pub(crate) async fn accept(&self, due: &[Due]) -> Vec<Sale> {
        let store = &self.world.database.store;
        let batches = due.chunks(INTAKE).map(|due| async move {
            let intakes = due.iter().map(|due| self.intake(due.listener)).collect();
            let accepted = store.accept(intakes).await.unwrap();
            let sales = due.iter().zip(accepted).map(|(due, accepted)| match accepted {
                Acceptance::New(payment) => Sale { after: due.after, payment },
                other => panic!("a new payment was expected: {other:?}"),
            });
            sales.collect::<Vec<_>>()
        });
        let sales: Vec<Sale> =
            stream::iter(batches).buffered(INTAKES).map(stream::iter).flatten().collect().await;
        // Nobody judges them, so nobody needs to ring for them.
        let put_off =
            "update payments set due_at = now() + interval '1 day' where due_at is not null";
        for statement in [put_off, "vacuum (analyze)", "checkpoint"] {
            self.world.execute(statement).await;
        }
        sales
    }

    fn intake(&self, listener: usize) -> Intake {
        let buyers = &self.world.market.buyers;
        let [first, second, ..] = runtime::random_bytes::<4>();
        let token = Anvil::token();
        let authorization = Authorization {
            method: TransferMethod::Eip3009,
            chain: token.chain,
            asset: token.address,
            payer: buyers[usize::from(u16::from_be_bytes([first, second])) % buyers.len()]
                .address(),
            pay_to: self.world.market.pay_to[0],
            amount: Amount::from(AMOUNT),
            valid_after: 0,
            valid_before: Clock::system().now_unix_secs() + VALID_SECS,
            nonce: B256::from(runtime::random_bytes::<32>()),
        };
        Intake {
            id: PaymentId::new(Uuid::now_v7()),
            event: EventId::new(Uuid::now_v7()),
            account: self.listeners[listener].seller.account,
            authorization,
            // Nobody looks at it: it was checked by whoever accepts, which is this.
            signature: Signature::new(vec![7; 65]),
            permit: None,
            x402_version: 2,
            finality: Finality::Confirmed,
            reference: None,
            metadata: None,
            resource_host: None,
            risk_context: RiskContext::default(),
            request_id: "req_load".to_owned(),
            idempotency: Vec::new(),
            accepted_at: now(),
        }
    }

    /// Settles each at its time, and rings for what is to be told; stops when it is `enough`.
    pub(crate) async fn settle(
        &self,
        sales: Vec<Sale>,
        beat: Beat,
        enough: &AtomicBool,
    ) -> Settled {
        let began = Instant::now();
        let goes_on =
            |_: &(Duration, Vec<Payment>)| std::future::ready(!enough.load(Ordering::Relaxed));
        stream::iter(batches(sales, beat.every))
            .take_while(goes_on)
            .map(|(after, payments)| async move {
                let due = began + after;
                tokio::time::sleep_until(due).await;
                let late = due.elapsed();
                let settled = self.settle_now(payments).await;
                self.herald.announce(&settled.0, &settled.1);
                (late, settled.0)
            })
            .buffer_unordered(beat.commits)
            .fold(Settled::default(), |mut all, (late, payments)| {
                all.payments.extend(payments.iter().map(|payment| payment.id));
                all.latest = all.latest.max(late);
                std::future::ready(all)
            })
            .await
    }

    /// Settles all of them, as fast as that goes, and rings for nothing.
    pub(crate) async fn settle_silently(&self, sales: Vec<Sale>) -> Settled {
        let payments = stream::iter(batches(sales, Duration::MAX))
            .map(|(_, payments)| self.settle_now(payments))
            .buffer_unordered(Beat::BLOCK.commits)
            .map(|(payments, _)| stream::iter(payments).map(|payment| payment.id))
            .flatten()
            .collect()
            .await;
        Settled { payments, latest: Duration::ZERO }
    }

    /// Somebody else's transaction has paid them, in a block that is final.
    async fn settle_now(&self, payments: Vec<Payment>) -> (Vec<Payment>, Vec<domain::DeliveryId>) {
        let count = payments.len();
        let change =
            |payment: &Payment, event| Change { payment: payment.clone(), event, carrier: None };
        let changes = payments.iter().flat_map(|payment| {
            let paid = Event::Included(inclusion(payment));
            [change(payment, paid), change(payment, Event::Finalized)]
        });
        let advance = self.world.database.store.advance(changes.collect(), now()).await.unwrap();
        let is_over = |payment: &&Payment| payment.state.is_terminal();
        let settled: Vec<Payment> = advance.moved().filter(is_over).cloned().collect();
        assert_eq!(settled.len(), count, "nobody else moves them");
        (settled, advance.deliveries)
    }

    /// Waits until something was told of so many payments, or for as long as that may take.
    pub(crate) async fn told(&self, payments: usize, limit: Duration) {
        until(limit, async || self.world.receiver.payments() >= payments).await;
    }
}

/// What is settled together, and when.
fn batches(sales: Vec<Sale>, every: Duration) -> Vec<(Duration, Vec<Payment>)> {
    let mut batches: Vec<(Duration, Vec<Payment>)> = Vec::new();
    for Sale { after, payment } in sales {
        let beats = after.as_nanos() / every.as_nanos() + 1;
        let due = every.saturating_mul(u32::try_from(beats).unwrap_or(u32::MAX));
        match batches.last_mut() {
            Some((last, together)) if *last == due && together.len() < BATCH => {
                together.push(payment);
            }
            _ => batches.push((due, vec![payment])),
        }
    }
    batches
}

/// A place in a block that no other payment has.
fn inclusion(payment: &Payment) -> Inclusion {
    Inclusion {
        tx_hash: payment.authorization.nonce,
        log_index: 0,
        block_number: BLOCK,
        block_hash: B256::repeat_byte(0xb1),
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix_ms(Clock::system().now_unix_ms())
}
