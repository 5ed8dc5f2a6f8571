-- The storage CRS of the database, for good; no row before the first opening.
SELECT srid FROM cim.deployment
