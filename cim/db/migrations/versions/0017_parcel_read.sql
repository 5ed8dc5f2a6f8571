-- What a seal says of the buildings on each parcel, ready to be hashed: half of what a seal took was to write and to sort
-- the same lines anew. All rows are made anew, when revisions next get their leaves.
DELETE FROM cim.parcel_indicator;
ALTER TABLE cim.parcel_indicator
    ADD building_lines text COLLATE "C" NOT NULL,
    ADD building_runs int8multirange NOT NULL;
COMMENT ON COLUMN cim.parcel_indicator.building_lines IS
    'The lines "building code leaf" of its buildings in order of code, each ended by a line feed: what a seal hashes';
COMMENT ON COLUMN cim.parcel_indicator.building_runs IS 'The leaves of its buildings'' revisions';

DO $$
BEGIN
    IF to_regclass('city.parcel') IS NOT NULL THEN
        EXECUTE 'INSERT INTO cim.parcel_touched (code) SELECT code FROM city.parcel';
    END IF;
END;
$$;
