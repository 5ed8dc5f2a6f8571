-- Earlier versions of models of these names: the digests of their files, the datasets that brought them, the types of
-- their layers. A file that models of other names are, too, is none: its objects may be of those.
-- A name counts without its suffix, as a model may come packed one time, plain the next.
WITH delivered AS (
    SELECT DISTINCT d.sha256, regexp_replace(l.model, '\.[^.]*(\.gz)?$', '', 'i') AS stem, l.content, l.type
    FROM cim.dataset d CROSS JOIN LATERAL jsonb_to_recordset(d.report -> 'layers')
        AS l(model text, content text, type text)
    WHERE l.model IS NOT NULL AND l.type IS NOT NULL)
SELECT content, array_agg(DISTINCT 'sha256:' || sha256) AS datasets, array_agg(DISTINCT type) AS types
FROM delivered
WHERE content <> ALL (CAST(:contents AS text[]))
GROUP BY content
HAVING bool_and(stem = ANY (CAST(:stems AS text[])));
