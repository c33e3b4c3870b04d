-- What every payment costs the database, less what it need not.
--
-- While indexes are built, `payments` takes no writes; with millions of payments that is some seconds. Whoever cannot
-- spare them makes them beforehand, `concurrently` and with the same names.

-- An event's account is its payment's. Both are looked up by one key, instead of each by its own: every look-up locks
-- the row it finds, and an account's row is wanted by everybody at once.
create unique index if not exists payments_one_account on payments (account_id, id);
alter table payment_events
    add constraint payment_events_of_payment foreign key (account_id, payment_id) references payments (account_id, id)
    not valid;
alter table payment_events
    drop constraint payment_events_payment_id_fkey,
    drop constraint payment_events_account_id_fkey;
drop index payments_by_account;

-- A delivery's payment and account are its event's, which is checked.
alter table webhook_deliveries
    drop constraint webhook_deliveries_payment_id_fkey,
    drop constraint webhook_deliveries_account_id_fkey;

-- What is due is found by endpoint, and what a payment caused by its events.
drop index webhook_deliveries_due;
drop index webhook_deliveries_by_payment;

-- Every change of a payment made an entry here, for the sake of lists by state. What goes the usual way is found by
-- account when it is settled and by its timer before; only what leaves it needs an index of its own.
create index if not exists payments_astray on payments (account_id, id)
    where state in ('held', 'rejected', 'canceled', 'expired', 'failed');
drop index payments_by_account_and_state;

-- A claim changes no indexed column: with room left in its page it touches no index.
alter table webhook_deliveries set (fillfactor = 70);

-- Nothing in them repeats itself enough to be worth the time it takes to compress.
alter table chain_transactions alter column input set storage external;
alter table transaction_attempts alter column raw set storage external;

-- Their rows are updated soon after they are written, and few are unfinished however many there are: what died is
-- cleared away when it is a hundredth of the table, not a fifth.
alter table payments set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.02);
alter table webhook_deliveries set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.02);
alter table transaction_items set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.02);
alter table chain_transactions set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.02);
