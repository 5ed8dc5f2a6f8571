SELECT size, root, at FROM cim.tree_head WHERE size = :size
