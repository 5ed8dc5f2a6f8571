INSERT INTO cim.tree_head (size, root, at) VALUES (:size, :root, clock_timestamp())
