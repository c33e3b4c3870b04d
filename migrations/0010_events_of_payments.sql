-- Every event there is belongs to its payment's account. Checked apart from the migration that made the rule, so that
-- payments are taken meanwhile.

alter table payment_events validate constraint payment_events_of_payment;
