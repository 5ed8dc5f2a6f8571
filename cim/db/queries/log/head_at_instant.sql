SELECT size, root, at FROM cim.tree_head WHERE at <= :instant ORDER BY size DESC LIMIT 1
