SELECT edge FROM cim.tree_state
