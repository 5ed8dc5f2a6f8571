INSERT INTO cim.feature_type (name, code_scheme, geometry, digest, schema)
VALUES (:name, :code_scheme, :geometry, :digest, CAST(:schema AS jsonb))
ON CONFLICT (name) DO UPDATE
SET code_scheme = excluded.code_scheme, geometry = excluded.geometry, digest = excluded.digest, schema = excluded.schema
