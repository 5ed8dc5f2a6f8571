-- Which property of a type names what its objects lie in; see cim/db/functions/34_hierarchy.sql.
CREATE TABLE cim.hierarchy (
    type text COLLATE "C" PRIMARY KEY REFERENCES cim.feature_type (name),
    property text NOT NULL,
    parent text COLLATE "C" NOT NULL REFERENCES cim.feature_type (name)
);

-- What a transaction has yet to answer for when it ends: empty between transactions, worth nothing after a crash.
CREATE UNLOGGED TABLE cim.hierarchy_suspect (
    xid xid8 NOT NULL,
    type text COLLATE "C" NOT NULL,
    code text COLLATE "C" NOT NULL,
    by_hand boolean NOT NULL
);
CREATE INDEX hierarchy_suspect_xid ON cim.hierarchy_suspect (xid);
CREATE UNLOGGED TABLE cim.hierarchy_check (xid xid8 PRIMARY KEY);
