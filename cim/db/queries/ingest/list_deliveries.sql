-- Deliveries of a file with layers of a type, oldest first: files of one name, whatever their endings.
SELECT d.sha256, d.name, d.report ->> 'mode' AS mode, array_agg(l.lineage) AS lineages
FROM cim.dataset d CROSS JOIN LATERAL jsonb_to_recordset(d.report -> 'layers') AS l(type text, lineage text)
WHERE l.type = :type AND regexp_replace(d.name, '\.[^.]*$', '') = :stem
GROUP BY d.sha256
ORDER BY d.loaded;
