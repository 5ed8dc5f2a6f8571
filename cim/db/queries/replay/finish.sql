-- New revisions count on from the last one replayed, and the sequencer need not look at those.
WITH counted AS (
    SELECT setval(pg_get_serial_sequence('cim.revision', 'id'), max(id)) FROM cim.revision
)
UPDATE cim.tree_state SET xid_floor = pg_current_xact_id() FROM counted
