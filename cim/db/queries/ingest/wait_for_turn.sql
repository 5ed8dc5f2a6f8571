-- Wait until nobody holds the lock of a turn; true where nobody holds that of the run, either: then it is over.
WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared(hashtextextended('cim.turn ' || :turn, 0)))
SELECT pg_try_advisory_xact_lock_shared(hashtextextended('cim.turn ' || :run, 0)) FROM turn;
