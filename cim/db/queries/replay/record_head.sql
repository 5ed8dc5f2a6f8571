INSERT INTO cim.tree_head (size, root, at) VALUES (:size, :root, :at)
ON CONFLICT (size) DO UPDATE SET at = excluded.at
