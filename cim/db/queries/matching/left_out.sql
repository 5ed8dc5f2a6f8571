-- Names of the records that a person left out, in any delivery: another decision takes them back (settle_named.sql).
SELECT DISTINCT name FROM cim.decision WHERE how = 'left out' AND type = ANY(CAST(:types AS text[]))
