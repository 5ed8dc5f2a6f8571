-- The name of what this transaction sees, by which another connection sees the same.
SELECT pg_export_snapshot()
