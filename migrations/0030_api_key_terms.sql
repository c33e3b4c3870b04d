-- Keys that end by themselves, and what takes their place; and how often an account may ask, where that is not what all may.

alter table api_keys
    add column expires_at timestamptz,
    -- Not of every use, but of one in an hour.
    add column last_used_at timestamptz,
    -- The key whose place this one takes: one key, one successor.
    add column replaces uuid references api_keys (id)
        constraint api_keys_replaced_once unique;

alter table accounts
    -- Requests in a second by all of its keys together, for each kind of route; null: what every key may by itself.
    add column requests_per_second integer
        constraint accounts_asks_at_all check (requests_per_second > 0);
