//! Payments that are taken back: who does so at the same time shares one transaction.

use std::collections::HashMap;
use std::sync::Arc;

use domain::{AccountId, Event, Payment, PaymentId, StateName, Timestamp};
use queue::Herald;
use runtime::{Clock, Coalescer};
use store::{Advanced, Change, Store, StoreError};

use crate::refusal::Refusal;

/// The most payments taken back in one transaction.
const AT_ONCE: usize = 100;

/// Transactions under way at once; those who come meanwhile share the next one.
const TRANSACTIONS_AT_ONCE: usize = 2;

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) enum Cancellation {
    /// It is canceled, now or already.
    Canceled(Box<Payment>),
    /// It has gone too far: it is in this state.
    TooLate(StateName),
    /// Somebody else has changed it at the same time.
    Overtaken,
    /// The account has no such payment.
    Unknown,
}

/// An account's wish.
type Wish = (AccountId, PaymentId);

/// Takes payments back. Clones share their transactions.
#[derive(Clone, Debug)]
pub(crate) struct Cancellations {
    wishes: Coalescer<Wish, Result<Cancellation, Arc<StoreError>>>,
}

impl Cancellations {
    /// Those that are made are told by `herald`. Must be called within a tokio runtime.
    pub(crate) fn new(store: Store, herald: Herald, clock: Clock) -> Self {
        let flush = move |wishes: Vec<Wish>| {
            let (store, herald, clock) = (store.clone(), herald.clone(), clock.clone());
            async move {
                let now = Timestamp::from_unix_ms(clock.now_unix_ms());
                match cancel_all(&store, &herald, now, &wishes).await {
                    Ok(found) => wishes.iter().map(|wish| Ok(outcome(&found, *wish))).collect(),
                    Err(error) => {
                        let error = Arc::new(error);
                        wishes.iter().map(|_| Err(Arc::clone(&error))).collect()
                    }
                }
            }
        };
        Self { wishes: Coalescer::spawn("cancellations", AT_ONCE, TRANSACTIONS_AT_ONCE, flush) }
    }

    /// Takes the account's payment back, unless it has gone too far.
    pub(crate) async fn make(
        &self,
        account: AccountId,
        payment: PaymentId,
    ) -> Result<Cancellation, Refusal> {
        Ok(self.wishes.submit((account, payment)).await??)
    }
}

/// What came of each payment that was wished for by its own account.
type Outcomes = HashMap<Wish, Cancellation>;

fn outcome(found: &Outcomes, wish: Wish) -> Cancellation {
    found.get(&wish).cloned().unwrap_or(Cancellation::Unknown)
}

async fn cancel_all(
    store: &Store,
    herald: &Herald,
    now: Timestamp,
    wishes: &[Wish],
) -> Result<Outcomes, StoreError> {
    let mut ids: Vec<PaymentId> = wishes.iter().map(|(_, id)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut outcomes = Outcomes::new();
    let mut changes = Vec::new();
    for payment in store.load(&ids).await? {
        let wish = (payment.account, payment.id);
        if !wishes.contains(&wish) {
            continue;
        }
        match payment.state.name() {
            StateName::Canceled => {
                outcomes.insert(wish, Cancellation::Canceled(Box::new(payment)));
            }
            _ => changes.push(Change { payment, event: Event::Canceled, carrier: None }),
        }
    }
    let wished: Vec<Wish> = changes.iter().map(|it| (it.payment.account, it.payment.id)).collect();
    let advance = store.advance(changes, now).await?;
    herald.announce(advance.moved(), &advance.deliveries);
    let made = advance.outcomes.into_iter().map(|outcome| match outcome {
        Advanced::Moved(payment) => Cancellation::Canceled(payment),
        Advanced::Refused(refused) => Cancellation::TooLate(refused.from),
        Advanced::Overtaken => Cancellation::Overtaken,
    });
    outcomes.extend(wished.into_iter().zip(made));
    Ok(outcomes)
}
