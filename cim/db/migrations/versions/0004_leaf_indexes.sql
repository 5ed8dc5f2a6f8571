-- The foreign key looked up and locked each revision anew, three quarters of the cost of storing a leaf. Its promise
-- stands without it: the sequencer stores a leaf for what it read from cim.revision, from which the guard lets nothing
-- be deleted, and the audit names a leaf without its revision.
--
-- Both indexes carry idx, so that an as-of query need not read the leaf, whose entry makes it wide. First revisions,
-- which have no predecessor, stay out of the second.
ALTER TABLE cim.leaf
    DROP CONSTRAINT leaf_revision_id_fkey,
    DROP CONSTRAINT leaf_revision_id_key,
    DROP CONSTRAINT leaf_prev_key,
    ADD CONSTRAINT leaf_revision UNIQUE (revision_id) INCLUDE (idx);
CREATE UNIQUE INDEX leaf_prev ON cim.leaf (prev) INCLUDE (idx) WHERE prev IS NOT NULL;
