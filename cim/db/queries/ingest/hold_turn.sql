SELECT pg_advisory_lock(hashtextextended('cim.turn ' || :what, 0));
