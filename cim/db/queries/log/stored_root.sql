SELECT root FROM cim.tree_state
