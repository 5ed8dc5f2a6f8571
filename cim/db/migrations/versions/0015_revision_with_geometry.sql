-- As 0014: with the revisions that have none in it, the planner now and then took the spatial index for them all the same,
-- by the sample its statistics were made from, and walked it from end to end.
DROP INDEX cim.revision_geom;
CREATE INDEX revision_geom ON cim.revision USING gist (geom) WHERE geom IS NOT NULL;
