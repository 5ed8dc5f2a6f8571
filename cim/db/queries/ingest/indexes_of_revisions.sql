-- Statements that drop and make the indexes of revisions that cost most to keep, where there are few revisions yet. The
-- one by object stays where rows of the type carry what names a parent.
SELECT format('DROP INDEX %s', i.indexrelid::regclass) AS dropping, pg_get_indexdef(i.indexrelid) AS making
FROM pg_index i
WHERE (i.indexrelid = 'cim.revision_geom'::regclass
       OR i.indexrelid = 'cim.revision_object'::regclass AND NOT EXISTS (
           SELECT FROM cim.hierarchy h WHERE h.type = :type AND h.property = ANY (CAST(:carried AS text[]))))
  AND (SELECT count(*) FROM (SELECT FROM cim.revision LIMIT :few) r) < :few;
