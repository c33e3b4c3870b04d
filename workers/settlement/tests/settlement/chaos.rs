//! Everything at once, in an order that a seed decides.

use std::time::Duration;

use domain::{PaymentId, StateName};
use serde_json::json;
use testkit::{Buyer, Dice, Fate, FaultyNode, SignedAuthorization};

use crate::world::{DEADLINE, Running, World, ids};

/// Names a schedule to be run again.
const SEED: &str = "QUITTANCE_CHAOS_SEED";

const PAYMENTS: usize = 30;
const STEPS: usize = 24;
const PAUSE_MS: (u64, u64) = (50, 800);

struct Chaos {
    world: World,
    proxy: FaultyNode,
    dice: Dice,
    signed: Vec<SignedAuthorization>,
    payments: Vec<PaymentId>,
    processes: Vec<Running>,
}

#[tokio::test]
async fn whatever_happens_each_payment_is_paid_once_and_the_ledger_is_the_chain() {
    let mut chaos = Chaos::begin(Dice::new(seed())).await;

    for _ in 0..STEPS {
        let happens = chaos.dice.below(10);
        chaos.step(happens).await;
        let (least, most) = PAUSE_MS;
        let pause = least + chaos.dice.below(most - least);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    chaos.proxy.behave();
    chaos.settle_all().await;
    let Chaos { world, payments, processes, .. } = chaos;
    world.assert_ledger_is_chain(&payments).await;
    for process in processes {
        process.stop().await;
    }
}

impl Chaos {
    async fn begin(dice: Dice) -> Self {
        let mut world = World::start().await;
        world.add_signer().await;
        world.policy.max_lanes = 1;
        world.policy.max_batch = 3;
        // Deeper than any reorganisation here.
        world.policy.confirmations = 3;
        let buyer = Buyer::new();
        world.anvil.mint(buyer.address(), 100 * PAYMENTS as u64).await;
        world.fund_stranger().await;
        world.anvil.mine(3).await;
        let (mut signed, mut payments) = (Vec::new(), Vec::new());
        for _ in 0..PAYMENTS {
            signed.push(world.sign(&buyer, 100));
            payments.push(world.approve(&signed[signed.len() - 1]).await);
        }
        let proxy = FaultyNode::before(world.anvil.url()).await;
        let processes = vec![world.settle_at(&proxy.url()), world.settle_at(&proxy.url())];
        Self { world, proxy, dice, signed, payments: ids(&payments), processes }
    }

    async fn step(&mut self, happens: u64) {
        match happens {
            0 | 1 => {
                let process = self.dice.index(self.processes.len());
                self.processes.swap_remove(process).crash().await;
                self.processes.push(self.world.settle_at(&self.proxy.url()));
            }
            2 => {
                let process = self.dice.index(self.processes.len());
                self.processes.swap_remove(process).stop().await;
                self.processes.push(self.world.settle_at(&self.proxy.url()));
            }
            3 => self.world.anvil.reorg(1 + self.dice.below(2)).await,
            4 => self.world.anvil.drop_pending().await,
            5 => {
                let signed = self.dice.index(self.signed.len());
                self.world.submit_as_stranger(&self.signed[signed]).await;
            }
            6 => self.world.cut_connections().await,
            7 => self.lose_answers(),
            8 => self.lag().await,
            _ => self.proxy.behave(),
        }
        let (from, length) = (self.dice.index(PAYMENTS), self.dice.index(8));
        let until = PAYMENTS.min(from + length);
        self.world.ring(&self.world.queue(), &self.payments[from..until]).await;
    }

    /// Waits until everything is settled. What a stranger's lost block had paid starts over, so that
    /// it is approved again here, as risk does.
    async fn settle_all(&self) {
        let queue = self.world.queue();
        testkit::eventually(DEADLINE, || async {
            let mut waiting = self.world.store().load(&self.payments).await.ok()?;
            waiting.retain(|payment| payment.state.name() != StateName::Settled);
            self.world.ring_again(&queue, &ids(&waiting)).await;
            let all_settled = waiting.is_empty();
            for payment in waiting {
                if payment.state.name() == StateName::Accepted {
                    self.world.approve_accepted(payment).await.ok()?;
                }
            }
            all_settled.then_some(())
        })
        .await;
    }

    /// Every third answer is lost, whatever it was.
    fn lose_answers(&self) {
        let mut count = 0u32;
        self.proxy.obey(move |_, _| {
            count += 1;
            if count.is_multiple_of(3) { Fate::Lost } else { Fate::Passed }
        });
    }

    /// Every other request is answered by a node that stopped two blocks ago.
    async fn lag(&self) {
        let behind = format!("{:#x}", self.world.anvil.block_number().await - 2);
        let mut count = 0u32;
        self.proxy.obey(move |method, params| {
            count += 1;
            match method {
                _ if count.is_multiple_of(2) => Fate::Passed,
                "eth_getTransactionReceipt" | "eth_getBlockReceipts" => Fate::Answered(json!(null)),
                "eth_getLogs" => Fate::Answered(json!([])),
                "eth_getBlockByNumber" if params[0] == "latest" => {
                    params[0] = json!(behind);
                    Fate::Passed
                }
                "eth_call" | "eth_getTransactionCount" if params[1] == "latest" => {
                    params[1] = json!(behind);
                    Fate::Passed
                }
                _ => Fate::Passed,
            }
        });
    }
}

/// The seed that was asked for, or a new one; told in the output of a run that fails.
#[expect(clippy::disallowed_methods, reason = "a schedule is repeated by naming its seed")]
#[expect(clippy::print_stdout, reason = "a run that fails is repeated by its seed")]
fn seed() -> u64 {
    let named = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let (_, random) = runtime::new_uuid().as_u64_pair();
    let seed = named.unwrap_or(random);
    println!("{SEED}={seed}");
    seed
}
