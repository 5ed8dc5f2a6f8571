-- The lock of `lock`, without waiting. A session that has it takes it again, and gives it back as often.
SELECT pg_try_advisory_lock(hashtextextended('cim.sequencer', 0))
