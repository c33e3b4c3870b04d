//! What others do: strangers on the chain, and processes whose answers are lost.

use chain::{Call, Fees, Signer, TransactionPlan};
use domain::{Event, Payment, PaymentId, Submission, TransactionId, U256};
use secrecy::SecretString;
use store::{AttemptKind, Change, Lane, NewAttempt, Round, Stored};
use testkit::{Anvil, SignedAuthorization};

use super::{World, now};

impl World {
    /// Stores a round for this payment under the lease that is held, as a commit does whose answer
    /// is lost on the way.
    pub(crate) async fn store_unanswered(&self, payment: &Payment) {
        let stored = self.store_round(payment).await;
        assert!(matches!(stored, Stored::Committed(_)), "{stored:?}");
    }

    /// Tries to store a round for this payment under the lease that is held, and says which payments
    /// kept it from being stored.
    pub(crate) async fn store_for_holder(&self, payment: &Payment) -> Vec<PaymentId> {
        match self.store_round(payment).await {
            Stored::Overtaken(payments) => payments,
            stored => panic!("nothing should be stored: {stored:?}"),
        }
    }

    async fn store_round(&self, payment: &Payment) -> Stored {
        let signed = self.store().load_signed(&[payment.id]).await.unwrap().pop().unwrap();
        let rows = self.store().list_signers().await.unwrap();
        let row = rows.into_iter().find(|row| row.lease.is_some()).unwrap();
        let lane = Lane {
            signer: row.id,
            chain: row.chain,
            address: row.address,
            owner: row.lease.unwrap().0,
            epoch: row.epoch,
            next_nonce: row.next_nonce,
            paused: false,
        };
        let call = chain::transfer(&payment.authorization, &signed.signature);
        let fees = Fees { max_fee: 10_000_000_000, priority: 1_000_000_000 };
        let plan = TransactionPlan {
            chain: Anvil::CHAIN,
            nonce: row.next_nonce,
            call: call.clone(),
            gas_limit: 200_000,
            fees,
        };
        let signers = self.keys.iter().map(|key| Signer::from_key(key).unwrap());
        let signer = signers.into_iter().find(|it| it.address() == row.address).unwrap();
        let bytes = signer.sign(&plan).await.unwrap();
        let transaction = TransactionId::new(runtime::new_uuid());
        let submission = Submission { transaction, approved_until: now() };
        let round = Round {
            transaction,
            nonce: row.next_nonce,
            target: call.target,
            input: call.input.to_vec(),
            gas_limit: plan.gas_limit,
            attempt: NewAttempt {
                kind: AttemptKind::Payload,
                hash: bytes.hash,
                raw: bytes.raw,
                max_fee_per_gas: fees.max_fee,
                max_priority_fee_per_gas: fees.priority,
                signed_at_block: self.anvil.block_number().await,
            },
            changes: vec![Change {
                payment: payment.clone(),
                event: Event::Submitted(submission),
                carrier: Some(bytes.hash),
            }],
        };
        self.store().store_round(&lane, round, now()).await.unwrap()
    }

    fn stranger() -> Signer {
        Signer::from_key(&SecretString::from("5e".repeat(32))).unwrap()
    }

    /// Gives the stranger of [`World::submit_as_stranger`] money for gas.
    pub(crate) async fn fund_stranger(&self) {
        self.anvil.set_balance(Self::stranger().address(), U256::from(10u64.pow(18))).await;
    }

    /// Sends somebody's authorization before we do, or after; nobody waits for a block.
    pub(crate) async fn submit_as_stranger(&self, signed: &SignedAuthorization) {
        let stranger = Self::stranger();
        let plan = TransactionPlan {
            chain: Anvil::CHAIN,
            nonce: self.anvil.nonce_of(stranger.address()).await,
            call: chain::transfer(&signed.authorization, &signed.signature),
            gas_limit: 200_000,
            fees: Fees { max_fee: 50_000_000_000, priority: 5_000_000_000 },
        };
        let bytes = hex(&stranger.sign(&plan).await.unwrap().raw);
        // The stranger may have sent another of this nonce already: then that one stands.
        let _ = self.anvil.try_rpc("eth_sendRawTransaction", serde_json::json!([bytes])).await;
    }

    /// Signed bytes that use this nonce of the signer up, and that nobody has stored.
    pub(crate) async fn foreign(&self, nonce: u64) -> String {
        let signer = Signer::from_key(&self.keys[0]).unwrap();
        let plan = TransactionPlan {
            chain: Anvil::CHAIN,
            nonce,
            call: Call { target: signer.address(), input: Default::default() },
            gas_limit: 21_000,
            fees: Fees { max_fee: 50_000_000_000, priority: 5_000_000_000 },
        };
        hex(&signer.sign(&plan).await.unwrap().raw)
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.fold("0x".to_owned(), |text, byte| text + &byte)
}
