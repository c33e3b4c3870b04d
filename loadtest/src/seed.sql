-- Payments number :from until :until, as they stand when all is over: of a hundred, 97 are settled, 139 to a
-- transaction, and three went another way.
--
-- :start and :gap are milliseconds: when the first was accepted, and from each to the next. :buyers are addresses.

with numbered as (
    select n, n / 139 as t, to_timestamp((:start + n * :gap) / 1000.0) as at,
        case n % 100 when 0 then 'rejected' when 1 then 'expired' when 2 then 'failed' else 'settled' end as fate
    from generate_series(:from::bigint, :until::bigint - 1) n
)
insert into payments (id, account_id, chain_id, asset, payer, nonce, pay_to, amount, valid_after, valid_before, signature,
    x402_version, finality, reference, request_id, created_at, updated_at, version, state, failure_code,
    tx_hash, log_index, block_number, block_hash)
select seed_id(1, n), seed_id(2, n % 20), :chain, :asset, (:buyers)[1 + n % cardinality(:buyers)],
    sha256((:start || ' nonce ' || n)::bytea), decode(repeat('cc', 20), 'hex'), 10000, 0, extract(epoch from at)::bigint + 300,
    sha256(n::text::bytea) || sha256(('s' || n)::bytea) || '\x1b', 2, 'confirmed', 'order ' || n, 'req_' || md5(n::text),
    at, at + interval '1 second', case fate when 'settled' then 5 when 'failed' then 4 when 'expired' then 3 else 2 end, fate,
    case fate when 'rejected' then 'insufficient_funds' when 'failed' then 'transfer_refused' end,
    case fate when 'settled' then sha256((:start || ' tx ' || t)::bytea) end, case fate when 'settled' then 2 * (n % 139) end,
    case fate when 'settled' then 1000000000 + t / 10 end, case fate when 'settled' then sha256(('block ' || t / 10)::bytea) end
from numbered;

insert into payment_events (payment_id, version, id, account_id, type, state, at, detail)
select p.id, step.version, seed_id(10 + step.version, n), p.account_id, 'payment.' || step.state, step.state,
    p.created_at + step.version * interval '200 milliseconds',
    case
        when step.state = 'submitted' then jsonb_build_object('tx_hash', '0x' || encode(sha256((:start || ' tx ' || n / 139)::bytea), 'hex'))
        when step.state in ('confirmed', 'settled') then jsonb_build_object('tx_hash', '0x' || encode(p.tx_hash, 'hex'),
            'log_index', p.log_index, 'block_number', p.block_number, 'block_hash', '0x' || encode(p.block_hash, 'hex'))
        when step.state in ('rejected', 'failed') then jsonb_build_object('failure', p.failure_code)
        else '{}'
    end
from generate_series(:from::bigint, :until::bigint - 1) n
join payments p on p.id = seed_id(1, n)
cross join lateral (
    select version, case version when p.version then p.state else (array['accepted', 'approved', 'submitted', 'confirmed'])[version] end as state
    from generate_series(1, p.version) version
) step;

insert into chain_transactions (id, signer_id, chain_id, nonce, target, input, gas_limit, state, signed_at_block,
    mined_hash, block_number, block_hash, created_at, updated_at)
select seed_id(3, t), seed_id(4, 0), :chain, t, decode(repeat('ca', 20), 'hex'), decode(repeat(md5(t::text), 2600), 'hex'),
    9000000, 'final', 1000000000 + t / 10, sha256((:start || ' tx ' || t)::bytea), 1000000000 + t / 10,
    sha256(('block ' || t / 10)::bytea), to_timestamp((:start + t * 139 * :gap) / 1000.0),
    to_timestamp((:start + t * 139 * :gap) / 1000.0)
from generate_series(:from::bigint / 139, :until::bigint / 139 - 1) t;

insert into transaction_attempts (transaction_id, number, kind, hash, raw, max_fee_per_gas, max_priority_fee_per_gas,
    signed_at_block, created_at, broadcast_at)
select id, 1, 'payload', mined_hash, input, 2000000000, 1000000000, signed_at_block, created_at, created_at
from generate_series(:from::bigint / 139, :until::bigint / 139 - 1) t join chain_transactions on id = seed_id(3, t);

insert into transaction_items (transaction_id, position, payment_id, open)
select seed_id(3, n / 139), n % 139, seed_id(1, n), false
from generate_series(:from::bigint, :until::bigint - 1) n where n % 100 >= 2;

insert into webhook_deliveries (id, endpoint_id, account_id, event_id, payment_id, event_type, body, state, attempts,
    created_at, finished_at)
select seed_id(5, n), seed_id(6, n % 20), p.account_id, seed_id(10 + p.version, n), p.id, 'payment.' || p.state,
    convert_to(json_build_object('type', 'payment.' || p.state, 'timestamp', p.updated_at, 'id', seed_id(10 + p.version, n),
        'api_version', '2026-11-01', 'account', p.account_id, 'sequence', p.version, 'data', to_jsonb(p))::text, 'UTF8'),
    'delivered', 1, p.updated_at, p.updated_at
from generate_series(:from::bigint, :until::bigint - 1) n join payments p on p.id = seed_id(1, n);

insert into webhook_attempts (delivery_id, number, at, duration_ms, outcome, status)
select id, 1, created_at, 7, 'delivered', 200
from generate_series(:from::bigint, :until::bigint - 1) n join webhook_deliveries on id = seed_id(5, n);
