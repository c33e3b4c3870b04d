-- Every delivery there is has a kind. Checked apart from the migration that made the rule, so that payments move meanwhile.

alter table webhook_deliveries validate constraint webhook_deliveries_kind;
