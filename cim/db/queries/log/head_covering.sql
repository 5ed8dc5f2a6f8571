-- The first recorded head that covers a tree size: its instant bounds the time of entry size-1.
SELECT size, root, at FROM cim.tree_head WHERE size >= :size ORDER BY size LIMIT 1
