-- Remove the roads, pipes and components that an earlier file of this name had and this one has not; how many of each.
-- They must share some: two models that share nothing but their name are two models.
WITH earlier AS MATERIALIZED (
    SELECT DISTINCT v.type, v.code
    FROM cim.revision v JOIN cim.dataset d ON v.dataset = 'sha256:' || d.sha256
    WHERE v.type IN ('road', 'pipe', 'component') AND d.name = :name AND d.sha256 <> :sha256),
present AS MATERIALIZED (
    SELECT code, attributes ->> 'model_file' AS file, 'road' AS type FROM city.road
    WHERE code IN (SELECT code FROM earlier WHERE type = 'road')
    UNION ALL
    SELECT code, attributes ->> 'model_file', 'pipe' FROM city.pipe
    WHERE code IN (SELECT code FROM earlier WHERE type = 'pipe')
    UNION ALL
    SELECT code, attributes ->> 'model_file', 'component' FROM city.component
    WHERE code IN (SELECT code FROM earlier WHERE type = 'component')),
gone AS MATERIALIZED (
    SELECT type, code FROM present
    WHERE file <> :content AND EXISTS (SELECT FROM present still WHERE still.file = :content)),
roads AS (DELETE FROM city.road WHERE code IN (SELECT code FROM gone WHERE type = 'road') RETURNING 1),
pipes AS (DELETE FROM city.pipe WHERE code IN (SELECT code FROM gone WHERE type = 'pipe') RETURNING 1),
components AS (DELETE FROM city.component WHERE code IN (SELECT code FROM gone WHERE type = 'component') RETURNING 1)
SELECT (SELECT count(*) FROM roads) AS roads, (SELECT count(*) FROM pipes) AS pipes,
       (SELECT count(*) FROM components) AS components;
