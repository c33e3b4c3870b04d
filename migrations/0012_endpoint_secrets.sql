-- A secret that a newer one has replaced: deliveries are signed with both until then, so that a receiver can change over
-- without refusing any.

alter table webhook_endpoints
    add column old_secret bytea check (octet_length(old_secret) between 24 and 64),
    add column old_secret_until timestamptz,
    add constraint webhook_endpoints_rotated check ((old_secret is null) = (old_secret_until is null));
