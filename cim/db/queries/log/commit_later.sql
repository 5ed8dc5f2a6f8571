-- For a transaction that nothing is lost by: should the server crash, an older floor lets the next run look at more.
SELECT set_config('synchronous_commit', 'off', true)
