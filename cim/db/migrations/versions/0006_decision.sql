-- Which object each record is, where its own code or name did not say so, and why.
CREATE TABLE cim.decision (
    dataset text NOT NULL REFERENCES cim.dataset (sha256),
    layer text NOT NULL,
    record bigint NOT NULL CHECK (record > 0),
    source_id text,
    type text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    how text NOT NULL
        CHECK (how IN ('recalled', 'person', 'same', 'split', 'merge', 'new', 'undecided', 'left out')),
    code text COLLATE "C",
    score float8 CHECK (score BETWEEN 0 AND 1),
    objects jsonb,
    geom geometry,
    PRIMARY KEY (dataset, layer, record)
);
COMMENT ON TABLE cim.decision IS
    'Which object each record is, and why; records whose own code or name the city knows need no decision';
COMMENT ON COLUMN cim.decision.record IS 'Number of the record in its layer, from 1';
COMMENT ON COLUMN cim.decision.name IS 'Code the record came with, or the provisional one its name gives';
COMMENT ON COLUMN cim.decision.how IS 'recalled: by the crosswalk or a supersession; person: by a decisions file; same, split, merge: by place; new: no object is there; undecided, left out: not taken';
COMMENT ON COLUMN cim.decision.code IS 'The object; null where the record was not taken';
COMMENT ON COLUMN cim.decision.score IS 'Intersection over union of record and object; null where nothing was measured';
COMMENT ON COLUMN cim.decision.objects IS 'Objects it overlaps, or that it is a part of or has as parts, by code with their scores';
COMMENT ON COLUMN cim.decision.geom IS 'Geometry of a record that was not taken';
