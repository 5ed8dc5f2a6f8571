INSERT INTO cim.feature_property (type, name, position, kind, private)
VALUES (:type, :name, :position, :kind, :private)
ON CONFLICT (type, name) DO UPDATE
SET position = excluded.position, kind = excluded.kind, private = excluded.private
