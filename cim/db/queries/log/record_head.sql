INSERT INTO cim.tree_head (size, root, at, xid_floor)
SELECT :size, :root, clock_timestamp(), xid_floor FROM cim.tree_state
