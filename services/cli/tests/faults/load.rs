//! Payments that are posted while something goes wrong, some of them meant to fail.

use alloy_sol_types::{SolCall, sol};
use domain::{Address, PaymentId, U256};
use futures::future::join_all;
use serde_json::json;
use testkit::{Anvil, Buyer, SignedAuthorization, eventually};
use x402::Version;

use crate::role::Role;
use crate::world::{PATIENCE, World};

sol! {
    function transfer(address to, uint256 value) external returns (bool);
}

/// What each payment pays, in atomic units.
const AMOUNT: u64 = 100;

/// The validity of a payment that may expire on the way, in seconds.
const SHORT_VALIDITY_SECS: i64 = 9;

/// What is to become of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hope {
    /// Nothing speaks against it.
    Settled,
    /// There is no money.
    Rejected,
    /// There is money for one of two.
    Rival,
    /// Its buyer spends the money elsewhere as soon as it is accepted.
    Emptied,
    /// Its seller takes it back as soon as it is accepted.
    Canceled,
    /// It expires soon.
    Short,
}

#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) hope: Hope,
    pub(crate) signed: SignedAuthorization,
}

/// A payment for which a 202 was given.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) id: PaymentId,
    pub(crate) planned: Planned,
}

/// Payments to an address that nobody else pays.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) pay_to: Address,
    pub(crate) planned: Vec<Planned>,
}

impl Load {
    /// Signs so many payments of buyers who have their money for good.
    pub(crate) async fn sign(world: &World, payments: u64) -> Self {
        let pay_to = Buyer::new().address();
        let hopes =
            [Hope::Rejected, Hope::Rival, Hope::Rival, Hope::Emptied, Hope::Canceled, Hope::Short];
        let good = payments - hopes.len() as u64;
        let (rich, twice) = (Buyer::new(), Buyer::new());
        world.anvil.mint(rich.address(), good * AMOUNT).await;
        world.anvil.mint(twice.address(), AMOUNT).await;
        let mut planned = Vec::new();
        for hope in std::iter::repeat_n(Hope::Settled, usize::try_from(good).unwrap()).chain(hopes)
        {
            let buyer = match hope {
                Hope::Settled => rich.clone(),
                Hope::Rival => twice.clone(),
                Hope::Rejected | Hope::Emptied | Hope::Canceled | Hope::Short => Buyer::new(),
            };
            if matches!(hope, Hope::Emptied | Hope::Canceled | Hope::Short) {
                world.anvil.mint(buyer.address(), AMOUNT).await;
            }
            let validity = if hope == Hope::Short { SHORT_VALIDITY_SECS } else { 600 };
            let authorization = buyer.authorize().pay_to(pay_to).amount(AMOUNT);
            planned.push(Planned { hope, signed: authorization.valid_for(validity).sign() });
        }
        // Deeper than any reorganisation.
        world.anvil.mine(world.confirmations).await;
        Self { pay_to, planned }
    }

    /// Posts everything at once, each as often as it takes.
    pub(crate) async fn post(&self, world: &World) -> Vec<Accepted> {
        post_all(world, &self.planned).await
    }

    /// Posts a few with each block.
    pub(crate) async fn trickle(&self, world: &World, at_once: usize) -> Vec<Accepted> {
        let mut accepted = Vec::new();
        for few in self.planned.chunks(at_once) {
            accepted.extend(post_all(world, few).await);
            world.pass_blocks(1).await;
        }
        accepted
    }
}

async fn post_all(world: &World, planned: &[Planned]) -> Vec<Accepted> {
    let posts = planned.iter().map(|planned| async move {
        let id = accept(world, planned).await?;
        follow_up(world, planned, &id).await;
        let id = id.parse().unwrap();
        Some(Accepted { id, planned: planned.clone() })
    });
    join_all(posts).await.into_iter().flatten().collect()
}

/// Posts a payment until it is accepted, as a seller does; `None` where its time ran out before.
async fn accept(world: &World, planned: &Planned) -> Option<String> {
    let body = planned.signed.body(Version::V2);
    let key = format!("\"{}\"", planned.signed.authorization.nonce);
    let answer = eventually(PATIENCE, || async {
        match world.post(Role::Ingress, "/v1/payments", &body, Some(&key)).await? {
            (200 | 202, answer) => Some(Some(answer)),
            (500..=599, _) => None,
            (_, refusal) if planned.hope == Hope::Short => {
                assert_ne!(refusal["code"], "idempotency_key_reused", "{refusal}");
                Some(None)
            }
            (status, refusal) => panic!("refused with {status}: {refusal}"),
        }
    })
    .await?;
    Some(answer["id"].as_str().unwrap().to_owned())
}

/// What happens to a payment once it is accepted.
async fn follow_up(world: &World, planned: &Planned, id: &str) {
    match planned.hope {
        Hope::Emptied => empty(world, planned.signed.authorization.payer).await,
        Hope::Canceled => {
            let path = format!("/v1/payments/{id}/cancel");
            eventually(PATIENCE, || async {
                let answer = world.post(Role::Results, &path, &json!({}), None).await?;
                // Canceled, or too late for that.
                matches!(answer.0, 200 | 409).then_some(())
            })
            .await;
        }
        // The same authorization once more is the same payment.
        Hope::Rival => {
            let body = planned.signed.body(Version::V2);
            let again = eventually(PATIENCE, || async {
                let answer = world.post(Role::Ingress, "/v1/payments", &body, None).await?;
                (answer.0 < 500).then_some(answer.1)
            })
            .await;
            assert_eq!(again["id"], id, "{again}");
        }
        Hope::Settled | Hope::Rejected | Hope::Short => {}
    }
}

/// The buyer sends all money elsewhere.
async fn empty(world: &World, payer: Address) {
    let anvil = &world.anvil;
    anvil.set_balance(payer, U256::from(10u64.pow(18))).await;
    anvil.rpc("anvil_impersonateAccount", json!([payer])).await;
    let call = transferCall { to: Buyer::new().address(), value: U256::from(AMOUNT) };
    let input = format!("0x{}", hex::encode(call.abi_encode()));
    let spend = json!([{"from": payer, "to": Anvil::TOKEN, "gas": "0x30d40", "input": input}]);
    // The payment may have taken the money before.
    let _ = anvil.try_rpc("eth_sendTransaction", spend).await;
}
