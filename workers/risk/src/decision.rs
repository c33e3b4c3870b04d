//! Deciding a batch of payments with one look at the chain.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chain::{AuthorizationUse, AuthorizationView, ChainError};
use domain::{
    ChainId, ChainView, Event, FailureCode, Payment, PaymentId, PaymentState, PolicyReason,
    StateName, Timestamp, Verdict, judge,
};
use queue::Herald;
use runtime::clock::Clock;
use runtime::{FailPoint, fail_point};
use store::{
    Candidate, Change, DecisionTerms, EngineReply, EngineSaid, EngineTerms, Found, Seen,
    SignedPayment, Store, StoreError, ToAsk,
};

use crate::proof::{self, Signatures, Tried, Unproven};
use crate::{RiskNetwork, meters};

/// Why nothing was decided. The payment stays as it is and is asked about again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RiskError {
    /// The node did not say.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The ledger did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug)]
pub(crate) struct Decider {
    pub(crate) store: Store,
    pub(crate) herald: Herald,
    pub(crate) clock: Clock,
    pub(crate) networks: HashMap<ChainId, RiskNetwork>,
    pub(crate) decision_validity: Duration,
    pub(crate) engine: Option<EngineTerms>,
}

/// A payment to be looked at.
#[derive(Debug)]
pub(crate) struct Matter {
    pub(crate) payment: PaymentId,
    /// What the engine said about it a moment ago.
    pub(crate) reply: Option<EngineReply>,
}

/// What is left to do about a payment.
#[derive(Clone, Debug)]
pub(crate) enum Followup {
    /// Nothing: it is decided on, or waits.
    Nothing,
    /// The engine is to be asked about it, by whoever gets this.
    Ask(Box<ToAsk>),
}

impl Decider {
    /// Decides each of these payments, or says for each why not.
    pub(crate) async fn decide_all(
        &self,
        matters: Vec<Matter>,
    ) -> Vec<Result<Followup, Arc<RiskError>>> {
        let began = Instant::now();
        let payments: Vec<PaymentId> = matters.iter().map(|matter| matter.payment).collect();
        let mut failed: HashMap<PaymentId, Arc<RiskError>> = HashMap::new();
        let mut to_ask: HashMap<PaymentId, ToAsk> = HashMap::new();
        match self.load(matters, &payments).await {
            Err(error) => {
                let error = Arc::new(RiskError::from(error));
                failed.extend(payments.iter().map(|id| (*id, Arc::clone(&error))));
            }
            Ok(loaded) => {
                for (chain, payments) in by_network(loaded) {
                    let ids: Vec<PaymentId> =
                        payments.iter().map(|signed| signed.payment.id).collect();
                    match self.decide(chain, payments).await {
                        Ok(asked) => to_ask.extend(asked.into_iter().map(|it| (it.payment.id, it))),
                        Err(error) => {
                            let error = Arc::new(error);
                            failed.extend(ids.into_iter().map(|id| (id, Arc::clone(&error))));
                        }
                    }
                }
            }
        }
        metrics::histogram!("risk_evaluation_seconds").record(began.elapsed());
        let followup = |id: &PaymentId| match (failed.get(id), to_ask.remove(id)) {
            (Some(error), _) => Err(Arc::clone(error)),
            // Of several jobs for one payment, the first asks.
            (None, Some(asked)) => Ok(Followup::Ask(Box::new(asked))),
            (None, None) => Ok(Followup::Nothing),
        };
        payments.iter().map(followup).collect()
    }

    /// Writes down what the engine said, and loads the payments as they are, but for those that it is
    /// asked about again later: till then nothing about them has changed.
    async fn load(
        &self,
        matters: Vec<Matter>,
        payments: &[PaymentId],
    ) -> Result<Vec<SignedPayment>, StoreError> {
        let replies: Vec<EngineReply> =
            matters.into_iter().filter_map(|matter| matter.reply).collect();
        self.store.hear_engine(&replies, self.now()).await?;
        let later: HashSet<PaymentId> = replies.iter().filter_map(asked_about_later).collect();
        let payments: Vec<PaymentId> =
            payments.iter().copied().filter(|payment| !later.contains(payment)).collect();
        if payments.is_empty() {
            return Ok(Vec::new());
        }
        self.store.load_signed(&payments).await
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.clock.now_unix_ms())
    }

    /// Decides on the payments of one network; comes back with those about which the engine is to be
    /// asked.
    async fn decide(
        &self,
        chain: ChainId,
        payments: Vec<SignedPayment>,
    ) -> Result<Vec<ToAsk>, RiskError> {
        let Some(network) = self.networks.get(&chain) else {
            tracing::warn!(network = %chain, "payments wait for a network that is not configured");
            return Ok(Vec::new());
        };
        let now = self.now();
        let final_block_time = final_block_time(network, &payments, now).await?;
        let (payments, signatures) = Signatures::of(Arc::clone(&network.tokens), payments).await;
        let asked: Vec<_> = payments
            .iter()
            .map(|signed| (&signed.payment.authorization, signed.permit.as_ref()))
            .collect();
        let (views, proven) = tokio::try_join!(
            network.node.views_with_permits(&asked),
            signatures.proven(network, &payments)
        )?;
        let decided = self.decided_holds(&payments).await?;
        let (mut candidates, mut unproven, mut found) = (Vec::new(), Vec::new(), Vec::new());
        for (signed, view) in payments.into_iter().zip(views) {
            let payment = &signed.payment;
            let needed = network.min_remaining_secs;
            let (amount, by) =
                (payment.authorization.amount, now.unix_secs().saturating_add(needed));
            let allowance = view.allowance_with(amount, signed.permit.as_ref(), by);
            let AuthorizationView { used, balance, as_of, .. } = view;
            let seen = Seen { balance, as_of: Timestamp::from_unix_secs(as_of) };
            let view = ChainView { authorization_used: used, balance, allowance, final_block_time };
            let event = match judge(&payment.authorization, &view, now, needed) {
                Verdict::Approve => match standing(payment, &decided, now) {
                    Standing::ToBeDecided => {
                        let is_proven = proven.contains(&payment.id);
                        let SignedPayment { payment, signature, permit } = signed;
                        let decide_by = decide_by(network, &payment);
                        let Seen { balance, as_of } = seen;
                        let candidate = Candidate { payment, balance, as_of, decide_by };
                        match is_proven {
                            true => candidates.push(candidate),
                            false => unproven.push(Unproven { candidate, signature, permit }),
                        }
                        continue;
                    }
                    Standing::HoldExpired => Some(Event::Rejected(FailureCode::HoldExpired)),
                    Standing::Held => None,
                },
                Verdict::Reject(code) => Some(Event::Rejected(code)),
                Verdict::Cancel => Some(Event::Canceled),
                Verdict::Expire => Some(Event::Expired),
                Verdict::AwaitExpiry => None,
                // One that cannot be traced now must not hold up the others.
                Verdict::FindUse => find_use(network, payment, final_block_time)
                    .await
                    .inspect_err(|error| {
                        tracing::warn!(%error, payment = %payment.id, "a use was not traced");
                    })
                    .unwrap_or(None),
            };
            if let Some(event) = event {
                let change = Change { payment: signed.payment, event, carrier: None };
                found.push(Found { change, seen: Some(seen) });
            }
        }
        // Nobody else waits for what wallets have to say.
        let mut to_ask = self.commit(candidates, found).await?;
        let Tried { proven, refused } = proof::try_all(network, unproven).await;
        to_ask.extend(self.commit(proven, refused).await?);
        Ok(to_ask)
    }

    /// Commits what is decided about payments that the chain can pay, and what follows for others,
    /// and tells everybody. Comes back with those about which the engine is to be asked.
    async fn commit(
        &self,
        candidates: Vec<Candidate>,
        found: Vec<Found>,
    ) -> Result<Vec<ToAsk>, RiskError> {
        if candidates.is_empty() && found.is_empty() {
            return Ok(Vec::new());
        }
        let terms = DecisionTerms {
            validity: self.decision_validity,
            engine: self.engine,
            // The node may have taken its time, and whoever asks the engine is to have all of its lease.
            now: self.now(),
        };
        let decisions = self.store.decide(candidates, found, &terms).await?;
        fail_point(FailPoint::AfterDecision);
        let advance = &decisions.advance;
        advance.moved().for_each(|payment| count(payment, decisions.reasons.get(&payment.id)));
        meters::waiting(decisions.waiting);
        for account in &decisions.unreadable {
            tracing::error!(%account, "payments wait for a policy that cannot be read");
        }
        self.herald.announce(advance.moved(), &advance.deliveries);
        Ok(decisions.to_ask)
    }

    /// Those of the held payments on which somebody has decided.
    async fn decided_holds(
        &self,
        payments: &[SignedPayment],
    ) -> Result<HashSet<PaymentId>, StoreError> {
        let held = payments
            .iter()
            .map(|signed| &signed.payment)
            .filter(|payment| payment.state.name() == StateName::Held);
        let held: Vec<PaymentId> = held.map(|payment| payment.id).collect();
        if held.is_empty() {
            return Ok(HashSet::new());
        }
        Ok(self.store.decided_holds(&held).await?.into_iter().collect())
    }
}

fn asked_about_later(reply: &EngineReply) -> Option<PaymentId> {
    match reply.said {
        EngineSaid::Again { .. } => Some(reply.payment),
        EngineSaid::Answered(_) | EngineSaid::Undecided(_) => None,
    }
}

/// What there is to do about a payment that the chain can pay.
enum Standing {
    /// Its tenant's rules are asked.
    ToBeDecided,
    /// Nobody decided in time.
    HoldExpired,
    /// Somebody has to decide, and has time.
    Held,
}

fn standing(payment: &Payment, decided: &HashSet<PaymentId>, now: Timestamp) -> Standing {
    match payment.state {
        PaymentState::Held { .. } if decided.contains(&payment.id) => Standing::ToBeDecided,
        PaymentState::Held { until } if until <= now => Standing::HoldExpired,
        PaymentState::Held { .. } => Standing::Held,
        PaymentState::Accepted
        | PaymentState::Approved { .. }
        | PaymentState::Submitted(_)
        | PaymentState::Confirmed { .. }
        | PaymentState::Settled { .. }
        | PaymentState::Rejected(_)
        | PaymentState::Canceled
        | PaymentState::Expired
        | PaymentState::Failed(_) => Standing::ToBeDecided,
    }
}

/// From here on a transaction would be mined too late.
const fn decide_by(network: &RiskNetwork, payment: &Payment) -> Timestamp {
    let valid_before = payment.authorization.valid_before;
    Timestamp::from_unix_secs(valid_before.saturating_sub(network.min_remaining_secs))
}

/// The time of the newest final block, as far as it matters: before the end of every window, no
/// block can lie behind one, and 0 says as much.
async fn final_block_time(
    network: &RiskNetwork,
    payments: &[SignedPayment],
    now: Timestamp,
) -> Result<i64, ChainError> {
    let closes = |signed: &SignedPayment| signed.payment.authorization.valid_before;
    match payments.iter().any(|signed| closes(signed) <= now.unix_secs()) {
        true => network.node.final_block_time(network.confirmations).await,
        false => Ok(0),
    }
}

/// What follows for a payment whose authorization is used up; `None` while nothing is proven.
async fn find_use(
    network: &RiskNetwork,
    payment: &Payment,
    final_block_time: i64,
) -> Result<Option<Event>, ChainError> {
    let spent = Event::Rejected(FailureCode::AuthorizationUsed);
    Ok(match network.node.find_use(&payment.authorization).await? {
        AuthorizationUse::Paid(inclusion) => Some(Event::Included(inclusion)),
        // Until its block is final, the use may be undone, and the authorization pay after all.
        AuthorizationUse::Spent { block_number } => {
            let deep = network.node.is_deep(block_number, network.confirmations).await?;
            deep.then_some(spent)
        }
        // A node may know the use before it knows the log. Behind the end of the window it has had
        // time enough: then the use is older than what is searched, and may even have paid this
        // seller. So nobody is told that signing anew is safe.
        AuthorizationUse::NotFound => (final_block_time >= payment.authorization.valid_before)
            .then_some(Event::Rejected(FailureCode::TransferRefused)),
    })
}

/// The payments that wait for a decision, by network.
fn by_network(payments: Vec<SignedPayment>) -> HashMap<ChainId, Vec<SignedPayment>> {
    let mut networks: HashMap<ChainId, Vec<SignedPayment>> = HashMap::new();
    for signed in payments {
        let Payment { state, authorization, .. } = &signed.payment;
        if matches!(state, PaymentState::Accepted | PaymentState::Held { .. }) {
            networks.entry(authorization.chain).or_default().push(signed);
        }
    }
    networks
}

fn count(payment: &Payment, rule: Option<&PolicyReason>) {
    let failure = payment.state.failure().map_or("none", FailureCode::as_str);
    meters::decision(&payment.state, rule.map_or(failure, |rule| rule.as_str()));
}
