-- Permits of tokens (EIP-2612) that came beside payments by Permit2: their payers have not let that move the token before,
-- and let it move the payment's amount by this signature. The token takes each once, in the order of its nonces.
create table token_permits (
    payment_id uuid primary key references payments (id),
    nonce numeric(78, 0) not null check (nonce >= 0),
    -- The last second at which the token takes it.
    deadline numeric(78, 0) not null check (deadline >= 0),
    signature bytea not null check (octet_length(signature) = 65)
);
