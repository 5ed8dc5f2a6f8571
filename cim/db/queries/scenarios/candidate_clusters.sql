-- Which of some buildings stand together: DBSCAN over their footprints, in order of code, for a border building joins
-- whichever cluster comes to it first. A cluster goes by its smallest code.
SELECT c.code, min(c.code COLLATE "C") OVER (PARTITION BY c.cluster) AS cluster
FROM (SELECT b.code, ST_ClusterDBSCAN(b.geom, CAST(:metres AS float8), CAST(:buildings AS int))
                     OVER (ORDER BY b.code COLLATE "C") AS cluster
      FROM city.building_at(CAST(:size AS bigint)) b
      WHERE b.code COLLATE "C" = ANY(CAST(:codes AS text[]))) c
WHERE c.cluster IS NOT NULL
ORDER BY c.code COLLATE "C"
