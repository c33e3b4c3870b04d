//! The rules of intake in a few lines, and the ledger compared with them on random batches.

use std::collections::{BTreeMap, HashMap};

use domain::{AccountId, Authorization, PaymentId};
use futures::future::join_all;
use proptest::prelude::*;
use sqlx::Row;
use store::{Acceptance, Intake};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::ledger::{Ledger, authorization, intake, keyed};

/// A submission by numbers: which account, keys, body and authorization.
#[derive(Clone, Copy, Debug)]
struct Submission {
    account: usize,
    keys: [bool; KEYS],
    body: u8,
    authorization: usize,
}

const ACCOUNTS: usize = 2;
const KEYS: usize = 2;
const BODIES: u8 = 2;
const AUTHORIZATIONS: usize = 3;

fn submission() -> impl Strategy<Value = Submission> {
    (0..ACCOUNTS, any::<[bool; KEYS]>(), 0..BODIES, 0..AUTHORIZATIONS).prop_map(
        |(account, keys, body, authorization)| Submission { account, keys, body, authorization },
    )
}

impl Submission {
    fn keys(self) -> impl Iterator<Item = usize> {
        (0..KEYS).filter(move |&key| self.keys[key])
    }
}

fn batches() -> impl Strategy<Value = Vec<Vec<Submission>>> {
    prop::collection::vec(prop::collection::vec(submission(), 1..=5), 1..=4)
}

/// An answer, with the payment it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    New(PaymentId),
    Replayed(PaymentId),
    Existing(PaymentId),
    AnotherAccounts,
    KeyReused(PaymentId),
}

impl From<&Acceptance> for Answer {
    fn from(acceptance: &Acceptance) -> Self {
        match acceptance {
            Acceptance::New(payment) => Self::New(payment.id),
            Acceptance::Replayed(payment) => Self::Replayed(payment.id),
            Acceptance::Existing(payment) => Self::Existing(payment.id),
            Acceptance::AnotherAccounts => Self::AnotherAccounts,
            Acceptance::KeyReused { payment, .. } => Self::KeyReused(*payment),
        }
    }
}

/// What there is after some submissions, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    /// By authorization: the payment and its account.
    payments: BTreeMap<usize, (PaymentId, usize)>,
    /// By account and key: the payment and the body.
    keys: BTreeMap<(usize, usize), (PaymentId, u8)>,
}

impl Model {
    fn accept(&mut self, submitted: Submission, id: PaymentId) -> Answer {
        let Submission { account, body, authorization, .. } = submitted;
        let used: Vec<(PaymentId, u8)> =
            submitted.keys().filter_map(|key| self.keys.get(&(account, key)).copied()).collect();
        if let Some((payment, _)) = used.iter().find(|(_, said)| *said != body) {
            return Answer::KeyReused(*payment);
        }
        if let Some((payment, _)) = used.first() {
            return Answer::Replayed(*payment);
        }
        let answer = match self.payments.get(&authorization) {
            None => Answer::New(id),
            Some((payment, owner)) if *owner == account => Answer::Existing(*payment),
            Some(_) => return Answer::AnotherAccounts,
        };
        if let Answer::New(_) = answer {
            self.payments.insert(authorization, (id, account));
        }
        if let Answer::New(payment) | Answer::Existing(payment) = answer {
            self.keys.extend(submitted.keys().map(|key| ((account, key), (payment, body))));
        }
        answer
    }

    /// The model after the batch, if there is an order of its submissions that leads to these
    /// answers.
    fn explain(&self, batch: &[(Submission, PaymentId, Answer)]) -> Option<Self> {
        if batch.is_empty() {
            return Some(self.clone());
        }
        (0..batch.len()).find_map(|at| {
            let mut next = self.clone();
            let (submitted, id, answer) = batch[at];
            if next.accept(submitted, id) != answer {
                return None;
            }
            let rest = [&batch[..at], &batch[at + 1..]].concat();
            next.explain(&rest)
        })
    }
}

/// Accounts, and authorizations that nobody has submitted, for one case.
struct Cast {
    accounts: Vec<AccountId>,
    authorizations: Vec<Authorization>,
}

impl Cast {
    async fn new(ledger: &Ledger) -> Self {
        let mut accounts = Vec::new();
        for _ in 0..ACCOUNTS {
            accounts.push(ledger.account().await);
        }
        Self { accounts, authorizations: (0..AUTHORIZATIONS).map(|_| authorization()).collect() }
    }

    fn intake(&self, submitted: Submission) -> Intake {
        let Submission { account, body, authorization, .. } = submitted;
        let intake = intake(self.accounts[account], &self.authorizations[authorization]);
        submitted.keys().fold(intake, |intake, key| keyed(intake, &format!("key-{key}"), body))
    }

    fn intakes(&self, batch: &[Submission]) -> Vec<Intake> {
        batch.iter().map(|submitted| self.intake(*submitted)).collect()
    }

    /// What the ledger holds, in the model's words.
    async fn stored(&self, ledger: &Ledger) -> Model {
        let account =
            |uuid: Uuid| self.accounts.iter().position(|account| account.uuid() == uuid).unwrap();
        let accounts: Vec<String> =
            self.accounts.iter().map(|account| format!("'{}'", account.uuid())).collect();
        let accounts = format!("account_id in ({})", accounts.join(", "));
        let mut stored = Model::default();
        for row in ledger.rows(&format!("select * from payments where {accounts}")).await {
            let nonce: Vec<u8> = row.get("nonce");
            let said = self.authorizations.iter().position(|said| *said.nonce == *nonce).unwrap();
            let payment = PaymentId::new(row.get("id"));
            stored.payments.insert(said, (payment, account(row.get("account_id"))));
        }
        for row in ledger.rows(&format!("select * from idempotency_keys where {accounts}")).await {
            let key: String = row.get("key");
            let key = key.trim_start_matches("key-").parse().unwrap();
            let digest: Vec<u8> = row.get("body_sha256");
            let payment = PaymentId::new(row.get("payment_id"));
            stored.keys.insert((account(row.get("account_id")), key), (payment, digest[0]));
        }
        stored
    }
}

fn with_answers(
    batch: &[Submission],
    intakes: &[Intake],
    answers: &[Acceptance],
) -> Vec<(Submission, PaymentId, Answer)> {
    let ids = intakes.iter().map(|intake| intake.id);
    let answers = answers.iter().map(Answer::from);
    batch.iter().zip(ids).zip(answers).map(|((said, id), answer)| (*said, id, answer)).collect()
}

#[test]
fn every_batch_is_answered_as_if_its_submissions_had_come_one_after_the_other() {
    let runtime = Runtime::new().unwrap();
    let ledger = runtime.block_on(Ledger::open());
    proptest!(config(250), |(batches in batches())| {
        runtime.block_on(async {
            let cast = Cast::new(&ledger).await;
            let mut model = Model::default();
            for batch in &batches {
                let intakes = cast.intakes(batch);
                let answers = ledger.store().accept(intakes.clone()).await.unwrap();
                let answered = with_answers(batch, &intakes, &answers);
                let next = model.explain(&answered);
                prop_assert!(next.is_some(), "no order of {answered:?} explains it after {model:?}");
                model = next.unwrap();
                prop_assert_eq!(&cast.stored(&ledger).await, &model);
            }
            Ok(())
        })?;
    });
    runtime.block_on(ledger.assert_journal_is_whole());
}

#[test]
fn batches_at_the_same_instant_are_answered_as_if_they_had_come_one_after_the_other() {
    let runtime = Runtime::new().unwrap();
    let ledger = runtime.block_on(Ledger::open());
    proptest!(config(120), |(batches in batches())| {
        runtime.block_on(async {
            let cast = Cast::new(&ledger).await;
            let intakes: Vec<Vec<Intake>> = batches.iter().map(|batch| cast.intakes(batch)).collect();
            let accepted = intakes.iter().map(|batch| ledger.store().accept(batch.clone()));
            let answers: Vec<_> = join_all(accepted).await.into_iter().map(Result::unwrap).collect();
            let answered: Vec<_> = batches
                .iter()
                .zip(&intakes)
                .zip(&answers)
                .flat_map(|((batch, intakes), answers)| with_answers(batch, intakes, answers))
                .collect();
            check_facts(&answered, &cast.stored(&ledger).await)
        })?;
    });
    runtime.block_on(ledger.assert_journal_is_whole());
}

/// What must hold whatever the order was.
fn check_facts(
    answered: &[(Submission, PaymentId, Answer)],
    stored: &Model,
) -> Result<(), TestCaseError> {
    let mut owners: HashMap<usize, (PaymentId, usize)> = HashMap::new();
    for &(said, id, answer) in answered {
        if answer == Answer::New(id) {
            let before = owners.insert(said.authorization, (id, said.account));
            prop_assert_eq!(before, None, "two payments of one authorization");
        }
    }
    prop_assert_eq!(&owners.into_iter().collect::<BTreeMap<_, _>>(), &stored.payments);
    for &(said, id, answer) in answered {
        let owner = stored.payments.get(&said.authorization).copied();
        let keys: Vec<Option<(PaymentId, u8)>> =
            said.keys().map(|key| stored.keys.get(&(said.account, key)).copied()).collect();
        let all_are = |payment| keys.iter().all(|key| *key == Some((payment, said.body)));
        match answer {
            Answer::New(payment) => {
                prop_assert_eq!(payment, id);
                prop_assert!(all_are(payment));
            }
            Answer::Existing(payment) => {
                prop_assert_eq!(owner, Some((payment, said.account)));
                prop_assert!(all_are(payment));
            }
            Answer::AnotherAccounts => {
                prop_assert!(owner.is_some_and(|(_, account)| account != said.account));
            }
            Answer::Replayed(payment) => {
                prop_assert!(keys.contains(&Some((payment, said.body))));
            }
            Answer::KeyReused(payment) => {
                let mut used = keys.iter().flatten();
                prop_assert!(used.any(|(of, body)| *of == payment && *body != said.body));
            }
        }
    }
    // A key stands for a payment of its own account, because somebody was told so.
    for (&(account, key), &(payment, body)) in &stored.keys {
        let told = answered.iter().any(|&(said, _, answer)| {
            let matches = matches!(answer, Answer::New(p) | Answer::Existing(p) if p == payment);
            matches && said.account == account && said.keys[key] && said.body == body
        });
        prop_assert!(told, "nobody was told of {:?}", (account, key));
    }
    Ok(())
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}
