UPDATE cim.tree_state SET size = :size, root = :root, edge = :edge WHERE size = :old_size
