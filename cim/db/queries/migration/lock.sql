-- One migration at a time per database; released at the end of the transaction.
SELECT pg_advisory_xact_lock(hashtextextended('cim.migration', 0))
