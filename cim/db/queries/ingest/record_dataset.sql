INSERT INTO cim.dataset (sha256, name, format, mapping, loaded, report)
VALUES (:sha256, :name, :format, :mapping, clock_timestamp(), CAST(:report AS jsonb))
ON CONFLICT (sha256) DO UPDATE
SET name = excluded.name, format = excluded.format, mapping = excluded.mapping, loaded = excluded.loaded,
    report = excluded.report;
