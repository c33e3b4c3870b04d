-- The transaction that began a recovery. What was written before it is told by the recovery, however late it is
-- committed; whatever is written after it found the endpoint as it was then, and is told as everything is.
--
-- Recoveries from before get this migration's number. It is kept as a default, so the table is not written anew.

alter table recoveries add column begun_by xid8 not null default pg_current_xact_id();
