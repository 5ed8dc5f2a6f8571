-- How many objects this transaction recorded in each cell of a grid, by the middles of their boxes.
SELECT op AS fate, floor(x / :size) * :size AS x, floor(y / :size) * :size AS y, count(*) AS number
FROM (SELECT op, (ST_XMin(geom) + ST_XMax(geom)) / 2 AS x, (ST_YMin(geom) + ST_YMax(geom)) / 2 AS y
      FROM cim.revision
      WHERE xid = pg_current_xact_id() AND geom IS NOT NULL AND op IN ('insert', 'update')) r
GROUP BY 1, 2, 3;
