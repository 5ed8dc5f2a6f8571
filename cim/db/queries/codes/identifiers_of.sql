-- Every other identifier an object has or had, as they stand or as the log had them at tree size n. Of those the key of
-- each revision ends with the object's code, which an index tells alone.
SELECT scheme, value, valid_from, valid_to, issuer FROM cim.identifier
WHERE type = :type AND code = :code AND CAST(:size AS bigint) IS NULL
UNION ALL
SELECT i.scheme, i.value, i.valid_from, i.valid_to, i.issuer
FROM (SELECT DISTINCT r.code FROM cim.revision r
      WHERE r.type = 'identifier' AND right(r.code, length(:code) + 1) = concat(' ', CAST(:code AS text))) ending
JOIN cim.identifiers_at(CAST(:size AS bigint)) i ON i.key COLLATE "C" = ending.code
WHERE i.type = :type AND i.code = :code AND CAST(:size AS bigint) IS NOT NULL
ORDER BY scheme, value
