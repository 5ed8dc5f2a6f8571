-- One sequencer per database. Held by the session, because a run has several transactions.
SELECT pg_advisory_lock(hashtextextended('cim.sequencer', 0))
