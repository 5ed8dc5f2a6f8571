-- Rejects that came back, mended or not, in another file: they stand there now, if at all.
DELETE FROM cim.reject r USING cim.dataset d, unnest(CAST(:ids AS bigint[]), CAST(:files AS text[]),
    CAST(:layers AS text[])) AS came(id, file, layer)
WHERE r.id = came.id AND r.layer = came.layer AND d.sha256 = r.dataset AND d.name = came.file AND r.dataset <> :dataset;
