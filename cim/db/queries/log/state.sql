SELECT size, root, edge FROM cim.tree_state
