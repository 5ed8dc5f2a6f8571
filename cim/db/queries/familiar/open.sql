INSERT INTO cim.familiar_layer (type, lineage, basis, used) VALUES (:type, :lineage, :basis, clock_timestamp())
ON CONFLICT (type, lineage, basis) DO UPDATE SET used = excluded.used
RETURNING id;
