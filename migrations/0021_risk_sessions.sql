-- What agents tell our own risk engine: who pays from which wallet for a while, and how it came to pay.

create table risk_sessions (
    id uuid primary key,
    account_id uuid not null references accounts (id),
    -- The only wallet that the session may pay from.
    wallet bytea not null check (octet_length(wallet) = 20),
    agent_did text not null check (agent_did <> ''),
    agent_endpoint text,
    app_id text,
    -- JSON as it came: as jsonb it could not hold every text.
    device text,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    constraint risk_sessions_lifetime check (created_at < expires_at)
);

create index risk_sessions_by_end on risk_sessions (expires_at);
create index risk_sessions_of_account on risk_sessions (account_id, expires_at);

-- They go with their session.
create table risk_traces (
    id uuid primary key,
    session_id uuid not null references risk_sessions (id) on delete cascade,
    -- What the agent told, byte by byte, and its hash.
    body bytea not null check (octet_length(body) <= 262144),
    sha256 bytea not null check (sha256 = sha256(body)),
    -- The request that it is for, where it says so.
    request_id text,
    -- An earlier trace of the session was for the same request.
    repeated boolean not null,
    created_at timestamptz not null
);

-- The same bytes told again are the same trace.
create unique index risk_traces_told_once on risk_traces (session_id, sha256);
-- A request has one trace that is the first, whoever tells at the same instant.
create unique index risk_traces_first_of_request on risk_traces (session_id, request_id) where not repeated;
