-- How the records of a layer were decided upon, and how many.
SELECT how, count(*) AS number FROM cim.decision WHERE dataset = :dataset AND layer = :layer GROUP BY how;
