SELECT pg_advisory_unlock(hashtextextended('cim.sequencer', 0))
