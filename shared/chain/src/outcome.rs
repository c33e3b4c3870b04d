//! Reading from logs whether a payment was made: the token's own words, nobody else's.

use alloy_primitives::{B256, U256};
use alloy_sol_types::SolEvent;
use domain::{Authorization, Inclusion, TransferMethod};

use crate::abi::Token;
use crate::{LogEntry, Receipt};

/// Where in this transaction the authorization's money moved, if it did.
///
/// The outer transaction's success is not looked at: in a batch it proves nothing about an item.
///
/// Permit2 logs nothing, so that of two payments by it which are alike in token, parties and amount
/// a transaction does not say which it made: they must not share one.
pub fn find_payment(receipt: &Receipt, authorization: &Authorization) -> Option<Inclusion> {
    let log_index = match authorization.method {
        TransferMethod::Eip3009 => transfer_after_use(&receipt.logs, authorization),
        TransferMethod::Permit2 { .. } | TransferMethod::Upto { .. } => {
            transfer_by_another(&receipt.logs, authorization)
        }
    }?;
    Some(Inclusion {
        tx_hash: receipt.tx_hash,
        log_index,
        block_number: receipt.block_number,
        block_hash: receipt.block_hash,
    })
}

/// The index of the `Transfer` that follows this authorization's `AuthorizationUsed`, if it pays
/// the right amount to the right address.
///
/// The token writes the two next to each other, so only the next `Transfer` of the same token
/// counts: another one of the same amount belongs to another authorization.
pub fn transfer_after_use(logs: &[LogEntry], authorization: &Authorization) -> Option<u64> {
    let used = logs.iter().position(|log| is_use(log, authorization))?;
    let transfer = logs.get(used..)?.iter().find(|log| {
        log.address == authorization.asset
            && log.topics.first() == Some(&Token::Transfer::SIGNATURE_HASH)
    })?;
    pays(transfer, authorization).then_some(transfer.index)
}

/// The index of the `Transfer` that pays the right amount to the right address, and is not the one of
/// an authorization of EIP-3009.
fn transfer_by_another(logs: &[LogEntry], authorization: &Authorization) -> Option<u64> {
    let mut of_the_token = None;
    for log in logs.iter().filter(|log| log.address == authorization.asset) {
        let before = of_the_token.replace(log);
        let is_of_use = before.is_some_and(|before: &LogEntry| {
            before.topics.first() == Some(&Token::AuthorizationUsed::SIGNATURE_HASH)
        });
        if !is_of_use && pays(log, authorization) {
            return Some(log.index);
        }
    }
    None
}

fn is_use(log: &LogEntry, authorization: &Authorization) -> bool {
    log.address == authorization.asset
        && log.topics
            == [
                Token::AuthorizationUsed::SIGNATURE_HASH,
                authorization.payer.into_word(),
                authorization.nonce,
            ]
}

fn pays(log: &LogEntry, authorization: &Authorization) -> bool {
    let parties: [B256; 3] = [
        Token::Transfer::SIGNATURE_HASH,
        authorization.payer.into_word(),
        authorization.pay_to.into_word(),
    ];
    log.topics == parties
        && log.data.len() == 32
        && U256::from_be_slice(&log.data) == authorization.amount.units()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, Bytes};
    use domain::{Amount, ChainId};

    use super::*;

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

    fn used(authorization: &Authorization, index: u64) -> LogEntry {
        LogEntry {
            address: authorization.asset,
            topics: vec![
                Token::AuthorizationUsed::SIGNATURE_HASH,
                authorization.payer.into_word(),
                authorization.nonce,
            ],
            data: Bytes::new(),
            index,
        }
    }

    fn transfer(authorization: &Authorization, index: u64) -> LogEntry {
        LogEntry {
            address: authorization.asset,
            topics: vec![
                Token::Transfer::SIGNATURE_HASH,
                authorization.payer.into_word(),
                authorization.pay_to.into_word(),
            ],
            data: authorization.amount.units().to_be_bytes_vec().into(),
            index,
        }
    }

    #[test]
    fn a_use_followed_by_its_transfer_is_a_payment() {
        let auth = authorization();
        assert_eq!(transfer_after_use(&[used(&auth, 6), transfer(&auth, 7)], &auth), Some(7));
    }

    #[test]
    fn by_permit2_the_first_transfer_like_it_pays_that_no_authorization_made() {
        let signed = authorization();
        let spender = Address::repeat_byte(8);
        let permit =
            Authorization { method: TransferMethod::Permit2 { spender }, ..signed.clone() };
        let dearer = Authorization { amount: Amount::from(101), ..permit.clone() };
        for (logs, expected) in [
            (vec![transfer(&permit, 4)], Some(4)),
            (vec![used(&signed, 0), transfer(&signed, 1), transfer(&permit, 2)], Some(2)),
            (vec![transfer(&permit, 2), used(&signed, 3), transfer(&signed, 4)], Some(2)),
            (vec![used(&signed, 0), transfer(&signed, 1)], None),
            (vec![transfer(&dearer, 0)], None),
            (vec![], None),
        ] {
            assert_eq!(transfer_by_another(&logs, &permit), expected, "{logs:?}");
        }
    }

    #[test]
    fn each_item_of_a_batch_has_its_own_transfer() {
        let first = authorization();
        let second = Authorization { nonce: B256::repeat_byte(5), ..first.clone() };
        let logs = [used(&first, 0), transfer(&first, 1), used(&second, 2), transfer(&second, 3)];
        assert_eq!(transfer_after_use(&logs, &first), Some(1));
        assert_eq!(transfer_after_use(&logs, &second), Some(3));
    }

    #[test]
    fn what_only_looks_like_a_payment_is_none() {
        let auth = authorization();
        let other_nonce = Authorization { nonce: B256::repeat_byte(9), ..auth.clone() };
        let other_seller = Authorization { pay_to: Address::repeat_byte(9), ..auth.clone() };
        let other_amount = Authorization { amount: Amount::from(99), ..auth.clone() };
        let other_token = Authorization { asset: Address::repeat_byte(9), ..auth.clone() };
        for logs in [
            vec![],
            vec![used(&auth, 0)],
            vec![transfer(&auth, 0)],
            vec![transfer(&auth, 0), used(&auth, 1)],
            vec![used(&other_nonce, 0), transfer(&auth, 1)],
            vec![used(&auth, 0), transfer(&other_seller, 1)],
            vec![used(&auth, 0), transfer(&other_amount, 1)],
            vec![used(&other_token, 0), transfer(&auth, 1)],
            // The next transfer of the token is somebody else's, though one like ours follows.
            vec![used(&auth, 0), transfer(&other_seller, 1), transfer(&auth, 2)],
        ] {
            assert_eq!(transfer_after_use(&logs, &auth), None, "{logs:?}");
        }
    }
}
