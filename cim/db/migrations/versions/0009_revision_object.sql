-- A seal names the leaf of every object that was read. From type, code and revision to the leaf led three reads, of which
-- that of the revision, wide with body and geometry, cost half; carrying the id, this index spares it.
DROP INDEX cim.revision_object;
CREATE UNIQUE INDEX revision_object ON cim.revision (type, code, rev) INCLUDE (id);
