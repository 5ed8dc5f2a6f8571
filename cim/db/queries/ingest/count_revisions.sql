-- What this transaction recorded of one type since a revision. By the number alone first: the planner knows nothing of
-- what a load has just recorded, and would go through all of it by transaction and type.
WITH since AS MATERIALIZED (SELECT op, type, xid FROM cim.revision WHERE id > :after)
SELECT op, count(*) AS number FROM since
WHERE xid = pg_current_xact_id() AND type = :type
GROUP BY op;
