-- Jobs that wait or run, the oldest first, one of each owner before the second of any.
SELECT j.number
FROM (SELECT number, row_number() OVER (PARTITION BY owner ORDER BY number) AS turn
      FROM cim.job WHERE status IN ('accepted', 'running')) j
ORDER BY j.turn, j.number LIMIT 50
