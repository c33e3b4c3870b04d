//! Sellers: accounts with an API key.

use domain::{
    AccountId, ApiKeyId, EventId, Finality, Payment, PaymentId, RiskContext, Scope, Timestamp,
};
use runtime::Clock;
use sha2::{Digest, Sha256};
use store::{Acceptance, Intake, NewApiKey, Store};
use uuid::Uuid;

use crate::SignedAuthorization;

/// An account, and a key of it.
#[derive(Clone, Debug)]
pub struct Seller {
    /// The account.
    pub account: AccountId,
    /// The key's name.
    pub key_id: ApiKeyId,
    /// The key itself: what goes behind `Authorization: Bearer`.
    pub key: String,
}

impl Seller {
    /// Opens an account whose key is good for everything a seller does.
    pub async fn create(store: &Store) -> Self {
        let all = [Scope::PaymentsWrite, Scope::PaymentsRead, Scope::Webhooks, Scope::Risk];
        Self::with_scopes(store, &all).await
    }

    /// Opens an account whose key is good for these scopes alone.
    pub async fn with_scopes(store: &Store, scopes: &[Scope]) -> Self {
        let account = AccountId::new(Uuid::now_v7());
        store.create_account(account, "A seller", now()).await.unwrap();
        let (key_id, key) = add_key(store, account, scopes).await;
        Self { account, key_id, key }
    }

    /// Another key of the same account, as a seller of its own.
    pub async fn another_key(&self, store: &Store, scopes: &[Scope]) -> Self {
        let (key_id, key) = add_key(store, self.account, scopes).await;
        Self { account: self.account, key_id, key }
    }

    /// Puts a payment into the ledger, as the payment API does once it has checked it.
    pub async fn accept(&self, store: &Store, signed: &SignedAuthorization) -> Payment {
        self.accept_intake(store, self.intake(signed)).await
    }

    /// Puts this submission into the ledger.
    ///
    /// # Panics
    /// When it is not a new payment.
    pub async fn accept_intake(&self, store: &Store, intake: Intake) -> Payment {
        match store.accept(vec![intake]).await.unwrap().pop() {
            Some(Acceptance::New(payment)) => payment,
            other => panic!("a new payment was expected: {other:?}"),
        }
    }

    /// A submission of this account, with nothing asked that need not be.
    pub fn intake(&self, signed: &SignedAuthorization) -> Intake {
        Intake {
            id: PaymentId::new(Uuid::now_v7()),
            event: EventId::new(Uuid::now_v7()),
            account: self.account,
            authorization: signed.authorization.clone(),
            signature: signed.signature.clone(),
            permit: signed.permit.clone(),
            x402_version: 2,
            finality: Finality::Confirmed,
            reference: None,
            metadata: None,
            resource_host: None,
            risk_context: RiskContext::default(),
            request_id: "req_test".to_owned(),
            idempotency: Vec::new(),
            accepted_at: now(),
        }
    }
}

async fn add_key(store: &Store, account: AccountId, scopes: &[Scope]) -> (ApiKeyId, String) {
    let id = ApiKeyId::new(Uuid::now_v7());
    let key = format!("qtk_{}", hex::encode(runtime::random_bytes::<32>()));
    let new = NewApiKey {
        id,
        account,
        token_sha256: Sha256::digest(&key).into(),
        last_four: key[key.len() - 4..].to_owned(),
        scopes: scopes.to_vec(),
        expires_at: None,
    };
    store.create_api_key(&new, now()).await.unwrap();
    (id, key)
}

fn now() -> Timestamp {
    Timestamp::from_unix_ms(Clock::system().now_unix_ms())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Buyer, Database};

    #[tokio::test]
    async fn a_seller_has_a_key_with_its_scopes_and_payments() {
        let database = Database::create().await;
        let seller = Seller::with_scopes(&database.store, &[Scope::Ops]).await;
        let digest: [u8; 32] = Sha256::digest(&seller.key).into();
        let found = database.store.find_api_key(digest).await.unwrap().unwrap();
        assert_eq!((found.account, found.scopes), (seller.account, vec![Scope::Ops]));
        let payment = seller.accept(&database.store, &Buyer::new().authorize().sign()).await;
        let stored = database.store.find_payment(seller.account, payment.id).await.unwrap();
        assert_eq!(stored, Some(payment));
    }
}
