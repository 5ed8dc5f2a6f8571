SELECT size, root, at FROM cim.tree_head ORDER BY size
