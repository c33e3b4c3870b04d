//! Payments whose bells have rung: sorted, put into transactions, or ended.

use std::time::Duration;

use chain::AuthorizationUse;
use domain::{
    ChainView, Event, FailureCode, Payment, PaymentId, PaymentState, Signature, Submission,
    TransactionId, Verdict, judge,
};
use store::{AttemptKind, Change, OpenTransaction, SignedPayment, TransactionState};

use super::super::world::{Stop, World};
use super::following::{leftovers, trace};
use super::{MAX_IN_FLIGHT, Process, Step};
use crate::decide::following::Trace;
use crate::decide::readiness::{Readiness, is_news, readiness};

impl Process {
    pub(super) fn round(&mut self, world: &mut World, epoch: i64) -> Step {
        let rung = world.rung();
        let payments = self.sort(world, rung)?;
        if self.open().len() >= MAX_IN_FLIGHT {
            return Ok(());
        }
        let payments = self.would_be_paid(world, payments)?;
        if payments.is_empty() {
            return Ok(());
        }
        let fees = world.fees().ok_or(Stop::Failed)?;
        let nonce = self.next_nonce;
        let calls = payments.iter().map(|payment| world.index(payment.id)).collect();
        let attempt = world.sign((nonce, 1), AttemptKind::Payload, fees, calls);
        let items = payments.iter().map(|payment| payment.id).collect();
        let transaction = world.new_transaction(nonce, attempt, items);
        let changes = submissions(payments, transaction.id);
        let (id, stored) = (transaction.id, transaction.clone());
        world.write(move |world| world.ledger.store(epoch, stored, changes, world.now))?;
        self.next_nonce += 1;
        self.tracked.insert(id, transaction);
        self.send(world, id)
    }

    /// Deals with payments that cannot be settled now; the others are ready.
    pub(super) fn sort(
        &self,
        world: &mut World,
        rung: Vec<PaymentId>,
    ) -> Result<Vec<Payment>, Stop> {
        let mut ready = Vec::new();
        for id in rung {
            let signature = Signature::new(vec![27; 65]);
            let payment = world.ledger.payment(id).clone();
            let signed = SignedPayment { payment, signature, permit: None };
            match readiness(signed, world.now, world.policy.min_remaining_secs) {
                Readiness::Ready(signed) => ready.push(signed.payment),
                Readiness::Stale(signed) => {
                    world.commit(signed.payment, Event::ApprovalExpired)?;
                }
                Readiness::Late(signed) => decide(world, signed.payment, false)?,
                Readiness::Carried(signed, submission) => {
                    self.carried(world, signed.payment, submission)?;
                }
                Readiness::Included(signed) => self.included(world, signed.payment)?,
                Readiness::Rest => {}
            }
        }
        Ok(ready)
    }

    pub(super) fn would_be_paid(
        &self,
        world: &mut World,
        payments: Vec<Payment>,
    ) -> Result<Vec<Payment>, Stop> {
        let ids: Vec<usize> = payments.iter().map(|payment| world.index(payment.id)).collect();
        let results = world.ask(|world, _| {
            ids.iter().map(|index| world.chain.would_pay(*index)).collect::<Vec<_>>()
        })?;
        let mut fit = Vec::new();
        for (payment, would_pay) in payments.into_iter().zip(results) {
            if would_pay {
                fit.push(payment);
            } else {
                decide(world, payment, false)?;
            }
        }
        Ok(fit)
    }

    /// A payment inside a transaction that may be followed nowhere.
    fn carried(&self, world: &mut World, payment: Payment, submission: Submission) -> Step {
        let transaction = world.ledger.find(submission.transaction).clone();
        let closed = world.now.unix_secs() >= payment.authorization.valid_before;
        if !closed || world.final_block_time()? < payment.authorization.valid_before {
            return self.deal_with_over(world, &transaction);
        }
        let index = world.index(payment.id);
        let view = world.ask(|world, _| world.chain.view(index))?;
        if view.used {
            return self.deal_with_over(world, &transaction);
        }
        let transaction = world.ledger.find(submission.transaction).clone();
        let change = Change { payment, event: Event::Expired, carrier: None };
        world.write(|world| {
            Ok(world
                .ledger
                .follow_up(&transaction, transaction.state, vec![change], world.now)
                .is_ok())
        })?;
        Ok(())
    }

    /// What still rests on a transaction that is over is asked about once more.
    fn deal_with_over(&self, world: &mut World, transaction: &OpenTransaction) -> Step {
        match transaction.state {
            TransactionState::Open | TransactionState::Mined { .. } => Ok(()),
            TransactionState::Final { .. } | TransactionState::Dropped => {
                let changes = leftovers(world, transaction)?;
                world.write(|world| {
                    let state = transaction.state;
                    Ok(world.ledger.follow_up(transaction, state, changes, world.now).is_ok())
                })?;
                Ok(())
            }
        }
    }

    /// A payment inside a block that no transaction followed here put it in.
    fn included(&self, world: &mut World, payment: Payment) -> Step {
        let PaymentState::Confirmed { inclusion, submission } = payment.state else {
            return Ok(());
        };
        if let Some(submission) = submission {
            let transaction = world.ledger.find(submission.transaction);
            let ours = transaction.attempts.iter().any(|sent| sent.hash == inclusion.tx_hash);
            let is_over = matches!(
                transaction.state,
                TransactionState::Final { .. } | TransactionState::Dropped
            );
            if ours && !is_over {
                return Ok(());
            }
        }
        let is_final = world.is_final(inclusion.block_number)?;
        let event = match world.holds(inclusion.block_number, inclusion.block_hash)? {
            Some(false) => Event::Reorged,
            Some(true) if is_final => Event::Finalized,
            Some(true) | None => return Ok(()),
        };
        world.commit(payment, event)
    }
}

/// Each payment's submission to this transaction.
pub(super) fn submissions(payments: Vec<Payment>, transaction: TransactionId) -> Vec<Change> {
    let submit = |payment: Payment| {
        let PaymentState::Approved { until } = payment.state else { return None };
        let event = Event::Submitted(Submission { transaction, approved_until: until });
        Some(Change { payment, event, carrier: None })
    };
    payments.into_iter().filter_map(submit).collect()
}

/// Ends a payment that can never be settled, and approves it if that is asked and it can.
pub(in super::super) fn decide(world: &mut World, payment: Payment, approve: bool) -> Step {
    let final_block_time = world.final_block_time()?;
    let index = world.index(payment.id);
    let view = world.ask(|world, _| world.chain.view(index))?;
    let is_news = approve || is_news(view.as_of, &payment);
    let view = ChainView {
        authorization_used: view.used,
        balance: view.balance,
        allowance: None,
        final_block_time,
    };
    let needed = world.policy.min_remaining_secs;
    let event = match judge(&payment.authorization, &view, world.now, needed) {
        Verdict::Approve if approve => {
            Event::Approved { until: world.now.plus(Duration::from_secs(20)) }
        }
        Verdict::Approve | Verdict::AwaitExpiry => return Ok(()),
        Verdict::Reject(code) if is_news => Event::Rejected(code),
        Verdict::Reject(_) => return Ok(()),
        Verdict::Cancel => Event::Canceled,
        Verdict::Expire => Event::Expired,
        Verdict::FindUse => match trace(world, index)? {
            Trace::Used { found: AuthorizationUse::Paid(inclusion), .. } => {
                Event::Included(inclusion)
            }
            Trace::Used { found: AuthorizationUse::Spent { .. }, is_final: true } => {
                Event::Rejected(FailureCode::AuthorizationUsed)
            }
            Trace::Used { .. } | Trace::Unused => return Ok(()),
        },
    };
    world.commit(payment, event)
}
