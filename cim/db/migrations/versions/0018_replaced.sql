-- For reading a box as of a state: two look-ups from a revision to its leaf, and from there to the leaf of the next one,
-- took half of such a read. Below a tree head's floor every revision has its leaf in that tree, without a look; and what
-- replaced a revision is found by the revision itself.
ALTER TABLE cim.tree_head ADD xid_floor xid8 NOT NULL DEFAULT '0';
COMMENT ON COLUMN cim.tree_head.xid_floor IS 'Every revision of an older transaction has its leaf in this tree';

CREATE TABLE cim.replaced (
    revision_id bigint NOT NULL,
    leaf bigint NOT NULL,
    PRIMARY KEY (revision_id) INCLUDE (leaf)
);
COMMENT ON TABLE cim.replaced IS 'Revisions that another followed in the log, and its leaf: the leaves'' `prev`, by revision';
INSERT INTO cim.replaced (revision_id, leaf)
SELECT p.revision_id, l.idx FROM cim.leaf l JOIN cim.leaf p ON p.idx = l.prev;
