-- The transaction of the whole server that began to write first and has not ended: it holds the horizon.
SELECT * FROM (
    SELECT 'process ' || pid AS who, usename AS account, datname AS database, application_name AS application,
           xact_start AS since, backend_xid AS xid
    FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
    UNION ALL
    SELECT 'prepared transaction ' || gid, owner, database, NULL, prepared, transaction FROM pg_prepared_xacts) writer
ORDER BY age(xid) DESC LIMIT 1
