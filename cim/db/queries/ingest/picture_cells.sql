-- What this transaction did in each cell of a grid, by the middles of the objects' boxes.
SELECT fate, floor(x / :size) * :size AS x, floor(y / :size) * :size AS y, count(*) AS number
FROM (SELECT fate, (ST_XMin(geom) + ST_XMax(geom)) / 2 AS x, (ST_YMin(geom) + ST_YMax(geom)) / 2 AS y
      FROM cim.recorded_here(CAST(:ends AS jsonb))) r
GROUP BY 1, 2, 3;
