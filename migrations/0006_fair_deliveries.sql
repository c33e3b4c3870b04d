-- Finds the endpoints that have something waiting, and of each what is due first, so that the
-- backlog of one never hides the deliveries of another.

create index webhook_deliveries_waiting on webhook_deliveries (endpoint_id, due_at)
    where state = 'pending';
