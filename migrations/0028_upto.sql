-- Payments up to an amount (the scheme `upto`): the one signer whose transaction can make the payment, and the amount
-- that was signed, of which `amount` is what is asked. Null for all others.
--
-- No payment there is has either, so there is nothing to check of those, and payments are taken meanwhile.

alter table payments add column if not exists upto_sender bytea, add column if not exists upto_amount numeric(78, 0);
alter table payments add constraint payments_upto check (
    (upto_sender is null) = (upto_amount is null)
    and (
        upto_sender is null
        or (
            octet_length(upto_sender) = 20 and upto_amount > 0 and amount <= upto_amount
            and permit2_spender is not null
        )
    )
) not valid;
