-- What this transaction recorded of one type since a revision.
SELECT op, count(*) AS number FROM cim.revision
WHERE xid = pg_current_xact_id() AND type = :type AND id > :after
GROUP BY op;
