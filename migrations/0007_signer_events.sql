-- What happened to each signer, in the order of the ids; never updated.

create table signer_events (
    id uuid primary key,
    signer_id uuid not null references signers (id),
    at timestamptz not null default now(),
    type text not null,
    -- Who held it, why it was paused, what it had.
    detail jsonb not null,
    constraint signer_events_type check (type in (
        'registered', 'paused', 'resumed', 'lease_taken', 'lease_released', 'lease_lost', 'out_of_gas', 'funded'
    )),
    constraint signer_events_detail check (jsonb_typeof(detail) = 'object')
);

create index signer_events_by_signer on signer_events (signer_id, id);
