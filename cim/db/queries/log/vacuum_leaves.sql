-- As vacuum_revisions: look-ups in an index then leave the leaf itself, which is wide, unread.
VACUUM (ANALYZE, SKIP_LOCKED, INDEX_CLEANUP OFF, TRUNCATE OFF) cim.leaf (idx, revision_id, prev)
