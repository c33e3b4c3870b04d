-- What each payment has taken up, in one row; gone when it is over. Rows of budget_reservations are from before.

create table budget_takes (
    payment_id uuid primary key references payments (id),
    -- Not foreign keys: budgets are never deleted, and a check for each would cost more than all else here.
    budgets bigint[] not null,
    amounts numeric(78, 0)[] not null,
    constraint budget_takes_pairs check (cardinality(budgets) = cardinality(amounts))
);

-- From now on reserved counts what is on its way and what was paid; spent is what was paid before that.
-- Rows change in place, and often.
alter table budgets set (fillfactor = 70);
