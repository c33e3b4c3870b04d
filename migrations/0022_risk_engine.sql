-- What risk engines are asked about payments, what they say, and what they are told afterwards.

-- What came with a payment for an engine; no row where nothing came.
create table risk_contexts (
    payment_id uuid primary key references payments (id),
    session_id uuid,
    trace_id uuid,
    -- W3C trace context, as it came.
    traceparent text check (length(traceparent) <= 55),
    tracestate text check (length(tracestate) <= 4096),
    mandate jsonb check (jsonb_typeof(mandate) = 'object'),
    constraint risk_contexts_state_has_parent check (tracestate is null or traceparent is not null)
);

-- Where each payment stands with the engine; no row before it is asked for the first time.
create table risk_answers (
    payment_id uuid primary key references payments (id),
    state text not null check (state in ('open', 'answered', 'undecided')),
    -- How the engine was spoken to.
    engine text not null check (engine in ('local', 'trustline', 'score')),
    -- Tries since the last answer that came to nothing, and when the next may be made.
    tries integer not null default 0 check (tries >= 0),
    ask_at timestamptz not null,
    -- Why the last try came to nothing.
    no_decision text check (no_decision <> ''),
    decision text check (decision in ('allow', 'deny', 'review')),
    decision_id text check (length(decision_id) between 1 and 256),
    level text check (level in ('low', 'medium', 'high')),
    reasons text[],
    valid_until timestamptz,
    -- Of what was sent and of what was answered, where there was such.
    request_sha256 bytea check (octet_length(request_sha256) = 32),
    response_sha256 bytea check (octet_length(response_sha256) = 32),
    constraint risk_answers_answered check (
        (state = 'answered') = (
            decision is not null and decision_id is not null and level is not null
            and reasons is not null and valid_until is not null
        )
    ),
    constraint risk_answers_undecided check (state <> 'undecided' or no_decision is not null)
);

-- What the engine had said when a decision was made; none where it was not asked.
alter table risk_evaluations
    add column engine jsonb check (jsonb_typeof(engine) = 'object'),
    add column valid_until timestamptz;

-- What engines are told of how payments ended that they have decided on.
create table risk_receipts (
    payment_id uuid primary key references payments (id),
    state text not null check (state in ('pending', 'delivered', 'given_up')),
    attempts integer not null default 0 check (attempts >= 0),
    due_at timestamptz not null,
    -- Until then somebody is telling it.
    lease_until timestamptz,
    -- What came of the last attempt: a status, or why there was none.
    last_outcome text check (last_outcome <> ''),
    created_at timestamptz not null,
    ended_at timestamptz,
    constraint risk_receipts_ended check ((state = 'pending') = (ended_at is null))
);

create index risk_receipts_due on risk_receipts (due_at) where state = 'pending';
