-- The order in which an account's events are read: by the transaction that wrote them. Every transaction below the
-- oldest that still runs is over, so nothing can appear any more behind an event that was read. (Numbers of events are
-- given before their transactions commit, and would not do.)
--
-- Events from before get one number, this migration's, and are in the order of their ids. The number is kept as a
-- default, so the table is not written anew; while the index is built, it takes no writes. Whoever cannot spare that
-- adds the column beforehand, by this statement, and makes the index `concurrently` with the same name.

alter table payment_events add column if not exists written_by xid8 not null default pg_current_xact_id();
create index if not exists payment_events_feed on payment_events (account_id, written_by, id);
