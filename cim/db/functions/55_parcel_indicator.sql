-- What stands on each parcel, added up once and not for every question: cim.parcel_indicator, of the current state alone.
--
-- Whoever writes a parcel or a building, its parcel is noted in cim.parcel_touched by the same transaction, and from then
-- on its row counts for nothing: whoever asks measures the parcel as if it had none. cim.add_up_parcels() brings rows up
-- to date when revisions have got their leaves. It takes back those notes alone that it sees in the snapshot it adds up
-- in, so that a writer who commits meanwhile keeps his. The rows are never a source of truth: cim.computed_parcels()
-- makes each again, and the audit compares them.

-- Argument: the column that names the parcel.
CREATE OR REPLACE FUNCTION cim.touch_parcels() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    EXECUTE format('INSERT INTO cim.parcel_touched (code)
                    SELECT DISTINCT n.%1$I FROM changed n WHERE n.%1$I IS NOT NULL', TG_ARGV[0]);
    RETURN NULL;
END;
$$;

CREATE OR REPLACE FUNCTION cim.touch_updated_parcels() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    EXECUTE format('INSERT INTO cim.parcel_touched (code)
                    SELECT n.%1$I FROM changed n WHERE n.%1$I IS NOT NULL
                    UNION SELECT o.%1$I FROM before o WHERE o.%1$I IS NOT NULL', TG_ARGV[0]);
    RETURN NULL;
END;
$$;

CREATE OR REPLACE FUNCTION cim.attach_parcel_indicator(type_name text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    naming text := CASE type_name WHEN 'parcel' THEN 'code' WHEN 'building' THEN 'parcel_code' END;
BEGIN
    IF naming IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE OR REPLACE TRIGGER touch_insert AFTER INSERT ON city.%I REFERENCING NEW TABLE AS changed
                    FOR EACH STATEMENT EXECUTE FUNCTION cim.touch_parcels(%L)', type_name, naming);
    EXECUTE format('CREATE OR REPLACE TRIGGER touch_update AFTER UPDATE ON city.%I
                    REFERENCING OLD TABLE AS before NEW TABLE AS changed
                    FOR EACH STATEMENT EXECUTE FUNCTION cim.touch_updated_parcels(%L)', type_name, naming);
    EXECUTE format('CREATE OR REPLACE TRIGGER touch_delete AFTER DELETE ON city.%I REFERENCING OLD TABLE AS changed
                    FOR EACH STATEMENT EXECUTE FUNCTION cim.touch_parcels(%L)', type_name, naming);
    EXECUTE format('ALTER TABLE city.%I ENABLE ALWAYS TRIGGER touch_insert, ENABLE ALWAYS TRIGGER touch_update,
                    ENABLE ALWAYS TRIGGER touch_delete', type_name);
END;
$$;

-- What stands on some parcels (null: on all), measured now; a leaf that is not there yet is null.
--
-- Left out are parcels of which the sums do not say enough: with a building that has no geometry, stands or counts
-- otherwise than whole, or whose unknown floor area hangs on its height.
-- A plan must know whether all are asked for, and how many: one for either would go through the city for some.
CREATE OR REPLACE FUNCTION cim.computed_parcels(codes text[]) RETURNS SETOF cim.parcel_indicator
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    RETURN QUERY
        WITH parcel AS MATERIALIZED (
            SELECT p.code, p.geom, p.valid_from, p.valid_to, (
                SELECT l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
                WHERE r.type = 'parcel' AND r.code = p.code AND r.rev = p.rev) AS leaf
            FROM city.parcel p
            WHERE (codes IS NULL OR p.code = ANY (codes)) AND NOT ST_IsEmpty(p.geom) AND ST_IsValid(p.geom)
        ), building AS (
            SELECT b.*, cim.square_centimetres(ST_Area(b.geom)) AS footprint,
                   cim.square_centimetres(b.gross_floor_area) AS above, (
                SELECT l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
                WHERE r.type = 'building' AND r.code = b.code AND r.rev = b.rev) AS leaf,
                   b.geom IS NOT NULL AND NOT ST_IsEmpty(b.geom) AND ST_IsValid(b.geom)
                   AND (b.gross_floor_area IS NOT NULL OR b.storeys_above IS NOT NULL OR b.height IS NULL) AS fit
            FROM city.building b
            WHERE codes IS NULL AND b.parcel_code IS NOT NULL OR b.parcel_code = ANY (codes)
        ), standing AS (
            SELECT b.parcel_code, ST_Extent(b.geom)::geometry AS extent,
                   max(b.valid_from) AS valid_from, min(b.valid_to) AS valid_to,
                   array_agg(DISTINCT b.status) FILTER (WHERE b.status IS NOT NULL) AS statuses,
                   count(*) FILTER (WHERE b.status IS NULL) AS without_status,
                   count(*) AS buildings,
                   sum(b.footprint)::bigint AS footprint,
                   sum(b.above)::bigint AS gfa, count(b.above) AS gfa_known,
                   (sum(b.footprint * b.storeys_above) FILTER (WHERE b.above IS NULL))::bigint AS storeyed,
                   (sum(b.footprint) FILTER (WHERE b.above IS NULL AND b.storeys_above IS NULL))::bigint AS unstoreyed,
                   array_agg(b.code ORDER BY b.code) AS codes, array_agg(b.leaf ORDER BY b.code) AS leaves,
                   string_agg(format(E'building %s %s\n', b.code, b.leaf), '' ORDER BY b.code) AS lines,
                   range_agg(int8range(b.leaf, b.leaf, '[]')) AS runs,
                   sum(b.households)::bigint AS households, count(b.households) AS households_known,
                   min(b.year_built) AS oldest_year, cim.millimetres(max(b.height)) AS top_height,
                   bool_and(b.fit) AS fit
            FROM building b
            GROUP BY b.parcel_code
        )
        SELECT p.code, ST_SetSRID(ST_Envelope(ST_Collect(ST_SetSRID(p.geom, 0), s.extent)), ST_SRID(p.geom)),
               cim.square_centimetres(ST_Area(p.geom)),
               greatest(p.valid_from, s.valid_from), least(p.valid_to, s.valid_to),
               coalesce(s.statuses, '{}'), coalesce(s.without_status, 0), coalesce(s.buildings, 0),
               coalesce(s.footprint, 0), coalesce(s.gfa, 0), coalesce(s.gfa_known, 0),
               coalesce(s.storeyed, 0), coalesce(s.unstoreyed, 0),
               p.leaf, coalesce(s.codes, '{}'), coalesce(s.leaves, '{}'),
               coalesce(s.households, 0), coalesce(s.households_known, 0), s.oldest_year, s.top_height,
               coalesce(s.lines, ''), coalesce(s.runs, '{}')
        FROM parcel p LEFT JOIN standing s ON s.parcel_code = p.code
        WHERE s.fit IS NOT FALSE;
END;
$$;

-- Bring the rows of touched parcels up to date, the first `most` of them by code after `after`; answer the last of them,
-- null where there is none. Parcels of which a revision waits for its leaf stay touched.
CREATE OR REPLACE FUNCTION cim.add_up_parcels(after text, most bigint) RETURNS text
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    chosen text[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('cim.parcel_indicator'));
    SELECT array_agg(t.code ORDER BY t.code) INTO chosen
    FROM (SELECT DISTINCT t.code FROM cim.parcel_touched t WHERE t.code > after ORDER BY t.code LIMIT most) t;
    IF chosen IS NULL THEN
        RETURN NULL;
    END IF;
    DELETE FROM cim.parcel_indicator i WHERE i.code = ANY (chosen);
    -- One statement, one snapshot: a note that is taken back was heeded.
    WITH computed AS MATERIALIZED (
        SELECT * FROM cim.computed_parcels(chosen)
    ), waiting AS MATERIALIZED (
        SELECT c.code FROM computed c WHERE c.leaf IS NULL OR array_position(c.building_leaves, NULL) IS NOT NULL
    ), added AS (
        INSERT INTO cim.parcel_indicator SELECT * FROM computed c WHERE c.code NOT IN (SELECT w.code FROM waiting w)
    )
    DELETE FROM cim.parcel_touched t
    WHERE t.code = ANY (chosen) AND t.code NOT IN (SELECT w.code FROM waiting w);
    RETURN chosen[cardinality(chosen)];
END;
$$;

-- Add all parcels up anew, when revisions next get their leaves.
CREATE OR REPLACE FUNCTION cim.touch_all_parcels() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cim.parcel_touched (code) SELECT i.code FROM cim.parcel_indicator i UNION SELECT p.code FROM city.parcel p;
END;
$$;

-- Parcels on which something was written by a leaf from tree size `since` on, or by what waits for its leaf: they, or
-- what stood or stands on them.
CREATE OR REPLACE FUNCTION cim.parcels_written(since bigint) RETURNS SETOF text
LANGUAGE sql STABLE AS $$
    WITH written AS MATERIALIZED (
        SELECT r.type, r.code, r.rev, r.body
        FROM cim.leaf l JOIN cim.revision r ON r.id = l.revision_id
        WHERE l.idx >= since AND r.type IN ('parcel', 'building')
        UNION ALL
        SELECT r.type, r.code, r.rev, r.body
        FROM (SELECT id, type, code, rev, body FROM cim.revision
              WHERE xid >= (SELECT xid_floor FROM cim.tree_state) ORDER BY xid OFFSET 0) r
        WHERE r.type IN ('parcel', 'building') AND NOT EXISTS (SELECT FROM cim.leaf l WHERE l.revision_id = r.id)
    ), named AS (
        SELECT CASE w.type WHEN 'parcel' THEN w.code ELSE w.body ->> 'parcel_code' END AS code FROM written w
        UNION
        SELECT (SELECT r.body ->> 'parcel_code' FROM cim.revision r
                WHERE r.type = w.type AND r.code = w.code AND r.rev = w.rev - 1)
        FROM written w WHERE w.type = 'building'
    )
    SELECT n.code FROM named n WHERE n.code IS NOT NULL;
$$;

-- The rows that count, of parcels that lie in a scope with all their buildings: as they stand, or where `size` is a tree
-- size as they stood there, which is so while nothing was written on them. None where so much has been written since that
-- to go through it would take longer than to measure. What is covered by a scope belongs to it as a whole, however
-- membership is judged. Of a scope of many parts one alone can cover a box: parts meet in points at most.
CREATE OR REPLACE FUNCTION cim.whole_parcels(size bigint, scope geometry) RETURNS SETOF cim.parcel_indicator
LANGUAGE sql STABLE ROWS 1000 AS $$
    SELECT i.* FROM ST_Dump(scope) AS part
    JOIN cim.parcel_indicator i ON i.extent @ part.geom AND cim.covers(part.geom, i.extent)
    WHERE NOT EXISTS (SELECT FROM cim.parcel_touched t WHERE t.code = i.code)
      AND CASE WHEN whole_parcels.size IS NULL THEN true
               WHEN (SELECT s.size - whole_parcels.size <= 1000 FROM cim.tree_state s)
               THEN i.code NOT IN (SELECT w.code FROM cim.parcels_written(whole_parcels.size) AS w (code))
               ELSE false END;
$$;

-- Rows that count, but are not what is measured.
CREATE OR REPLACE FUNCTION cim.parcel_differences() RETURNS TABLE (code text, rev bigint, problem text)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
        SELECT i.code::text, p.rev, 'what is kept added up of it differs from what stands on it'
        FROM cim.parcel_indicator i LEFT JOIN cim.computed_parcels(NULL) c USING (code)
        LEFT JOIN city.parcel p USING (code)
        WHERE i.* IS DISTINCT FROM c.*
          AND NOT EXISTS (SELECT FROM cim.parcel_touched t WHERE t.code = i.code)
        ORDER BY i.code;
END;
$$;
