UPDATE cim.tree_state SET xid_floor = CAST(:horizon AS xid8)
