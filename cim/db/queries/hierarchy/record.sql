INSERT INTO cim.hierarchy (type, property, parent) VALUES (:type, :property, :parent)
ON CONFLICT (type) DO UPDATE SET property = excluded.property, parent = excluded.parent
