-- Payments that Permit2 makes: whom the payer lets redeem the authorization. Null where the token takes it itself (EIP-3009).
--
-- While the indexes are built, `payments` takes no writes; with millions of payments that is some seconds. Whoever cannot
-- spare them adds the column and makes the indexes beforehand, the latter `concurrently` and with the same names.

alter table payments add column if not exists permit2_spender bytea;
alter table payments add constraint payments_permit2_spender check (octet_length(permit2_spender) = 20) not valid;

-- Permit2 takes each of a payer's nonces once, for whichever token.
create unique index if not exists payments_one_permit on payments (chain_id, payer, nonce)
    where permit2_spender is not null;

-- It logs nothing, so that two payments that are alike could be read from one transfer: only one of them was paid.
create unique index if not exists payments_one_transfer_by_permit2 on payments (chain_id, tx_hash, log_index)
    where permit2_spender is not null and tx_hash is not null;
