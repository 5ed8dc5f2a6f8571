SELECT pg_advisory_unlock(hashtextextended('cim.turn ' || :what, 0));
