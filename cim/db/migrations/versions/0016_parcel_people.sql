-- Who lives on each parcel, and how old and how high what stands there is: planners ask for them as for areas. All rows
-- are made anew, when revisions next get their leaves.
DELETE FROM cim.parcel_indicator;
ALTER TABLE cim.parcel_indicator
    ADD households bigint NOT NULL,
    ADD households_known bigint NOT NULL,
    ADD oldest_year bigint,
    ADD top_height bigint;
COMMENT ON COLUMN cim.parcel_indicator.households IS 'Households of the households_known buildings of which they are recorded';
COMMENT ON COLUMN cim.parcel_indicator.oldest_year IS 'Least year in which one of its buildings was built; null where none is known';
COMMENT ON COLUMN cim.parcel_indicator.top_height IS 'Greatest height of its buildings, in millimetres; null where none is known';

DO $$
BEGIN
    IF to_regclass('city.parcel') IS NOT NULL THEN
        EXECUTE 'INSERT INTO cim.parcel_touched (code) SELECT code FROM city.parcel';
    END IF;
END;
$$;
