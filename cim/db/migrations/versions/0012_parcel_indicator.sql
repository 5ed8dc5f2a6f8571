-- What stands on each parcel, added up: kept for scenarios, who would else measure a whole district anew for each number.
-- It can be made again at any time; see cim/db/functions/55_parcel_indicator.sql. Areas are in square centimetres.
CREATE TABLE cim.parcel_indicator (
    code text COLLATE "C" PRIMARY KEY,
    extent geometry NOT NULL,
    land bigint NOT NULL,
    valid_from date,
    valid_to date,
    statuses text[] NOT NULL,
    without_status bigint NOT NULL,
    buildings bigint NOT NULL,
    footprint bigint NOT NULL,
    gfa bigint NOT NULL,
    gfa_known bigint NOT NULL,
    storeyed bigint NOT NULL,
    unstoreyed bigint NOT NULL,
    leaf bigint NOT NULL,
    building_codes text[] COLLATE "C" NOT NULL,
    building_leaves bigint[] NOT NULL
);
CREATE INDEX parcel_indicator_extent ON cim.parcel_indicator USING gist (extent);
COMMENT ON TABLE cim.parcel_indicator IS
    'What stands on each parcel of the current state, added up; a row counts unless cim.parcel_touched names its parcel';
COMMENT ON COLUMN cim.parcel_indicator.extent IS 'Box around the parcel and all its buildings';
COMMENT ON COLUMN cim.parcel_indicator.valid_from IS 'Latest day on which one of them begins to be valid; null where all always were';
COMMENT ON COLUMN cim.parcel_indicator.valid_to IS 'Earliest day on which one of them ceases to be valid';
COMMENT ON COLUMN cim.parcel_indicator.statuses IS 'What its buildings have as their status';
COMMENT ON COLUMN cim.parcel_indicator.gfa IS 'Floor area above ground, of the gfa_known buildings that have it recorded';
COMMENT ON COLUMN cim.parcel_indicator.storeyed IS 'Footprint times storeys of those without floor area, but with storeys';
COMMENT ON COLUMN cim.parcel_indicator.unstoreyed IS 'Footprint of those with neither floor area, storeys nor height';
COMMENT ON COLUMN cim.parcel_indicator.leaf IS 'Leaf of the parcel''s revision';
COMMENT ON COLUMN cim.parcel_indicator.building_leaves IS 'Leaf of each building''s revision, in the order of building_codes';

CREATE TABLE cim.parcel_touched (code text COLLATE "C" NOT NULL);
CREATE INDEX parcel_touched_code ON cim.parcel_touched (code);
COMMENT ON TABLE cim.parcel_touched IS
    'Parcels that were written since they were added up, or that buildings came to or left; a code as often as it happened';

DO $$
BEGIN
    IF to_regclass('city.parcel') IS NOT NULL THEN
        EXECUTE 'INSERT INTO cim.parcel_touched (code) SELECT code FROM city.parcel';
    END IF;
END;
$$;
