//! Each kind of difference, and what is none.

use std::collections::HashMap;

use chain::LogEntry;
use domain::{
    AccountId, Address, Amount, Authorization, B256, ChainId, FailureCode, Finality, PaymentId,
    StateName, Submission, Timestamp, TransactionId, TransferMethod, U256,
};
use uuid::Uuid;

use super::*;

const TX: B256 = B256::repeat_byte(7);
const OTHER_TX: B256 = B256::repeat_byte(8);
const BLOCK: B256 = B256::repeat_byte(9);
const HEIGHT: u64 = 20;

fn authorization() -> Authorization {
    Authorization {
        method: TransferMethod::Eip3009,
        chain: ChainId::new(1).unwrap(),
        asset: Address::repeat_byte(1),
        payer: Address::repeat_byte(2),
        pay_to: Address::repeat_byte(3),
        amount: Amount::from(100),
        valid_after: 0,
        valid_before: 10,
        nonce: B256::repeat_byte(4),
    }
}

const fn inclusion() -> Inclusion {
    Inclusion { tx_hash: TX, log_index: 5, block_number: HEIGHT, block_hash: BLOCK }
}

fn payment(state: PaymentState) -> Payment {
    let at = Timestamp::from_unix_ms(0);
    Payment {
        id: PaymentId::new(Uuid::from_u128(1)),
        account: AccountId::new(Uuid::from_u128(2)),
        authorization: authorization(),
        finality: Finality::Confirmed,
        created_at: at,
        updated_at: at,
        version: 5,
        state,
        reference: None,
        metadata: None,
        request_id: String::new(),
    }
}

/// The token's event, by the signature of EIP-3009 or ERC-20.
fn log(signature: &str, parties: [B256; 2], data: Vec<u8>, index: u64) -> LogEntry {
    let topics = vec![signature.parse().unwrap(), parties[0], parties[1]];
    LogEntry { address: authorization().asset, topics, data: data.into(), index }
}

/// A transaction that uses the authorization and pays this much at log 5.
fn receipt(amount: u64) -> Receipt {
    let Authorization { payer, pay_to, nonce, .. } = authorization();
    let used = log(
        "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5",
        [payer.into_word(), nonce],
        Vec::new(),
        4,
    );
    let transfer = log(
        "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
        [payer.into_word(), pay_to.into_word()],
        U256::from(amount).to_be_bytes_vec(),
        5,
    );
    Receipt {
        tx_hash: TX,
        block_number: HEIGHT,
        block_hash: BLOCK,
        success: true,
        gas_used: 60_000,
        gas_price: 1,
        logs: vec![used, transfer],
    }
}

fn block(receipts: &[Receipt]) -> MinedBlock {
    let receipts: HashMap<_, _> =
        receipts.iter().map(|receipt| (receipt.tx_hash, receipt.clone())).collect();
    MinedBlock { number: HEIGHT, hash: BLOCK, receipts }
}

fn use_log() -> UseLog {
    let Authorization { asset, payer, nonce, .. } = authorization();
    UseLog { asset, payer, nonce, tx_hash: TX, block_number: HEIGHT }
}

const fn kind(difference: Option<&Difference>) -> &'static str {
    match difference {
        Some(difference) => difference.kind(),
        None => "none",
    }
}

#[test]
fn a_settled_payment_stands_exactly_where_the_token_made_it() {
    let elsewhere = B256::repeat_byte(0xee);
    for (recorded, block, expected) in [
        (inclusion(), block(&[receipt(100)]), "none"),
        (Inclusion { block_hash: elsewhere, ..inclusion() }, block(&[receipt(100)]), "wrong_block"),
        (Inclusion { tx_hash: OTHER_TX, ..inclusion() }, block(&[receipt(100)]), "no_transaction"),
        (inclusion(), block(&[]), "no_transaction"),
        (inclusion(), block(&[receipt(99)]), "not_paid"),
        (inclusion(), block(&[Receipt { logs: Vec::new(), ..receipt(100) }]), "not_paid"),
        (Inclusion { log_index: 4, ..inclusion() }, block(&[receipt(100)]), "wrong_log"),
    ] {
        let payment = payment(PaymentState::Settled { inclusion: recorded });
        let difference = settled(&payment, &recorded, &block);
        assert_eq!(kind(difference.as_ref()), expected, "{recorded:?}");
    }
}

#[test]
fn a_mined_transaction_stands_in_its_block_and_used_no_more_gas_than_it_may() {
    let recorded = MinedTransaction {
        id: TransactionId::new(Uuid::from_u128(3)),
        hash: TX,
        block_number: HEIGHT,
        block_hash: BLOCK,
        gas_limit: 60_000,
    };
    let elsewhere = B256::repeat_byte(0xee);
    for (transaction, block, expected) in [
        (recorded, block(&[receipt(100)]), "none"),
        (recorded, block(&[]), "not_mined"),
        (MinedTransaction { hash: OTHER_TX, ..recorded }, block(&[receipt(100)]), "not_mined"),
        (
            MinedTransaction { block_hash: elsewhere, ..recorded },
            block(&[receipt(100)]),
            "not_mined",
        ),
        (
            MinedTransaction { gas_limit: 59_999, ..recorded },
            block(&[receipt(100)]),
            "gas_above_limit",
        ),
    ] {
        let difference = mined(&transaction, &block);
        assert_eq!(kind(difference.as_ref()), expected, "{transaction:?}");
    }
}

#[test]
fn a_use_belongs_to_a_payment_that_is_settled_there_or_not_over() {
    let later = Timestamp::from_unix_ms(1);
    let submission =
        Submission { transaction: TransactionId::new(Uuid::nil()), approved_until: later };
    let elsewhere = Inclusion { tx_hash: OTHER_TX, ..inclusion() };
    let higher = Inclusion { block_number: HEIGHT + 1, ..inclusion() };
    for (state, expected) in [
        (PaymentState::Accepted, "agrees"),
        (PaymentState::Held { until: later }, "agrees"),
        (PaymentState::Approved { until: later }, "agrees"),
        (PaymentState::Submitted(submission), "agrees"),
        (PaymentState::Confirmed { inclusion: elsewhere, submission: None }, "agrees"),
        (PaymentState::Settled { inclusion: inclusion() }, "agrees"),
        (PaymentState::Settled { inclusion: elsewhere }, "used_elsewhere"),
        (PaymentState::Settled { inclusion: higher }, "used_elsewhere"),
        (PaymentState::Rejected(FailureCode::AuthorizationUsed), "ended"),
        (PaymentState::Canceled, "ended"),
        (PaymentState::Expired, "ended"),
        (PaymentState::Failed(FailureCode::AuthorizationUsed), "ended"),
    ] {
        for ours in [false, true] {
            let found = match used(&use_log(), ours, Some(&payment(state))) {
                UseVerdict::Agrees => "agrees",
                UseVerdict::Ended => "ended",
                UseVerdict::Differs(difference) => difference.kind(),
            };
            assert_eq!(found, expected, "{state:?}, ours: {ours}");
        }
    }
}

#[test]
fn a_use_of_what_the_ledger_does_not_know_is_a_difference_only_when_it_is_ours() {
    let difference = Box::new(Difference::UnknownUse { used: use_log() });
    assert_eq!(used(&use_log(), true, None), UseVerdict::Differs(difference));
    assert_eq!(used(&use_log(), false, None), UseVerdict::Agrees);
}

#[test]
fn a_payment_that_ended_unpaid_was_not_paid() {
    for state in [
        PaymentState::Rejected(FailureCode::AuthorizationUsed),
        PaymentState::Canceled,
        PaymentState::Expired,
        PaymentState::Failed(FailureCode::AuthorizationUsed),
    ] {
        for (ours, amount, expected) in [
            (false, 100, "paid_but_ended"),
            (true, 100, "paid_but_ended"),
            (false, 99, "none"),
            (true, 99, "misspent"),
        ] {
            let difference = ended(&use_log(), ours, &payment(state), &receipt(amount));
            assert_eq!(kind(difference.as_ref()), expected, "{state:?} {ours} {amount}");
        }
    }
}

#[test]
fn every_kind_is_known_and_says_all_in_one_line_without_the_signature() {
    let (payment, recorded) = (PaymentId::new(Uuid::nil()), inclusion());
    let (transaction, tx_hash) = (TransactionId::new(Uuid::nil()), TX);
    let (used, state, found) = (use_log(), StateName::Expired, BLOCK);
    let shared = store::SharedPlace { tx_hash, log_index: 5, payments: vec![payment, payment] };
    let all = [
        Difference::WrongBlock { payment, recorded, found },
        Difference::NoTransaction { payment, recorded },
        Difference::NotPaid { payment, authorization: authorization(), recorded },
        Difference::WrongLog { payment, recorded, found: 6 },
        Difference::UsedElsewhere { payment, recorded, used },
        Difference::PaidButEnded { payment, state, found: recorded },
        Difference::Misspent { payment, state, used },
        Difference::UnknownUse { used },
        Difference::Doubled(shared),
        Difference::NotMined { transaction, tx_hash, block_number: 1, recorded: TX, found },
        Difference::GasAboveLimit { transaction, tx_hash, gas_used: 2, gas_limit: 1 },
    ];
    assert_eq!(all.each_ref().map(Difference::kind), Difference::KINDS);
    for difference in all {
        let line = difference.to_json(ChainId::new(1).unwrap());
        assert_eq!(line["kind"], difference.kind());
        assert_eq!(line["network"], "eip155:1");
        assert!(line["sentence"].as_str().is_some_and(|sentence| sentence.len() > 40), "{line}");
        assert!(!line.to_string().contains(['\n']), "{line}");
    }
}
