-- Statements that drop and make the indexes of revisions that cost most to keep, where there are few revisions yet and
-- nobody is connected to the database over more than our own connections, who would have to wait. The index by object
-- stays where rows of the type carry what names a parent.
SELECT format('DROP INDEX %s', i.indexrelid::regclass) AS dropping, pg_get_indexdef(i.indexrelid) AS making
FROM pg_index i
WHERE (i.indexrelid = 'cim.revision_geom'::regclass
       OR i.indexrelid = 'cim.revision_object'::regclass AND NOT EXISTS (
           SELECT FROM cim.hierarchy h WHERE h.type = :type AND h.property = ANY (CAST(:carried AS text[]))))
  AND (SELECT count(*) FROM (SELECT FROM cim.revision LIMIT :few) r) < :few
  AND (SELECT count(*) FROM pg_stat_activity a
       WHERE a.datname = current_database() AND a.backend_type IS DISTINCT FROM 'autovacuum worker') <= :ours;
