-- The rejects of a data set with what is drawn of them.
SELECT layer, source_id, reason, record -> 'geometry' AS geometry, record ->> 'crs' AS system
FROM cim.reject WHERE dataset = :dataset ORDER BY id LIMIT :most;
