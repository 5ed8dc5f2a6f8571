SELECT r.id, d.name, r.dataset, r.layer, r.source_id, r.reason, r.record, r.at
FROM cim.reject r JOIN cim.dataset d ON d.sha256 = r.dataset
WHERE (CAST(:dataset AS text) IS NULL OR d.name = :dataset OR starts_with(r.dataset, :dataset))
  AND (CAST(:layer AS text) IS NULL OR r.layer = :layer)
ORDER BY r.id;
