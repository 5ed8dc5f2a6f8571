-- Tree heads from the last one at or below a span of leaves to the first one at or above it.
SELECT size, at, xid_floor::text::bigint AS floor FROM cim.tree_head
WHERE size >= (SELECT max(size) FROM cim.tree_head WHERE size <= :first)
  AND size <= coalesce((SELECT min(size) FROM cim.tree_head WHERE size >= :end), :end)
ORDER BY size
