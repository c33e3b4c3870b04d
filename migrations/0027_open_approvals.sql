-- What a payer's other payments want is asked with every decision. What left for a block stays for two minutes and is
-- counted for ten seconds of them: it is passed over in the index, instead of row by row.

create index open_approvals_counted on open_approvals (chain_id, asset, payer, (coalesce(left_at, 'infinity')));
drop index open_approvals_by_purse;
