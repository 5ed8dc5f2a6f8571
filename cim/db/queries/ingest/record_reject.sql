INSERT INTO cim.reject (dataset, layer, source_id, reason, record)
VALUES (:dataset, :layer, :source_id, :reason, CAST(:record AS jsonb));
