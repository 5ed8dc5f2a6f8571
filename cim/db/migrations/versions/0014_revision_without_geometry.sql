-- As 0010, for reading a box as of a state: to find the revisions without geometry, which meet every box, the spatial
-- index was walked from end to end. Of the types that have none at all it holds their type and place alone.
CREATE INDEX revision_without_geom ON cim.revision (type) WHERE geom IS NULL AND body IS NOT NULL;
