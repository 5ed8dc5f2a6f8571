-- Which object a waiting record is. The waiting rows lie in a temporary table (cim/db/load.py) with the columns
-- record_ (number in the layer, from 0), minted_ (its code was made here), code and, where carried, geom. Records that
-- do not wait because they would change nothing have the objects in the temporary table `claimed`.

-- Put the rows whose code no object has into the temporary table `unmatched` (queries/matching/stage.sql); answer how
-- many.
CREATE OR REPLACE FUNCTION cim.gather_unmatched(staged regclass, target regclass) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    number bigint;
BEGIN
    EXECUTE format('INSERT INTO unmatched (record, name, minted)
                    SELECT s.record_, s.code, s.minted_ FROM %s s
                    WHERE NOT EXISTS (SELECT FROM %s t WHERE t.code = s.code)', staged, target);
    GET DIAGNOSTICS number = ROW_COUNT;
    ANALYZE unmatched;
    RETURN number;
END;
$$;

-- How the minted, undecided rows and the objects no waiting row has yet cover each other, where they do by `touch` at
-- least. `aligned` is the overlap once the row is moved so that both centroids meet, where the overlap itself is
-- between `touch` and `same`. What is common is at most as large as either, which its rounding may deny.
CREATE OR REPLACE FUNCTION cim.overlaps(staged regclass, target regclass, touch float8, same float8)
RETURNS TABLE (record bigint, code text, of_record float8, of_object float8, overlap float8, aligned float8)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ANALYZE %s (code)', staged);
    RETURN QUERY EXECUTE format($query$
        WITH met AS MATERIALIZED (
            SELECT u.record, t.code::text AS code, s.geom AS ours, t.geom AS theirs,
                   least(ST_Area(ST_Intersection(s.geom, t.geom)), ST_Area(s.geom), ST_Area(t.geom)) AS common,
                   ST_Area(s.geom) AS one, ST_Area(t.geom) AS other
            FROM unmatched u
            JOIN %1$s s ON s.record_ = u.record
            JOIN %2$s t ON t.geom && s.geom
            WHERE u.minted AND u.how IS NULL AND ST_IsValid(t.geom) AND ST_Intersects(s.geom, t.geom)
              AND NOT EXISTS (SELECT FROM %1$s c WHERE c.code = t.code)
              AND NOT EXISTS (SELECT FROM claimed c WHERE c.code = t.code)
        ), shares AS MATERIALIZED (
            SELECT m.*, common / nullif(one, 0) AS of_record, common / nullif(other, 0) AS of_object,
                   common / nullif(one + other - common, 0) AS overlap
            FROM met m
        ), moved AS (
            SELECT h.*, CASE WHEN h.overlap >= $1 AND h.overlap < $2 THEN least(h.one, h.other,
                ST_Area(ST_Intersection(h.theirs,
                    ST_Translate(h.ours, ST_X(ST_Centroid(h.theirs)) - ST_X(ST_Centroid(h.ours)),
                                         ST_Y(ST_Centroid(h.theirs)) - ST_Y(ST_Centroid(h.ours)))))) END AS again
            FROM shares h
            WHERE greatest(h.of_record, h.of_object) >= $1
        )
        SELECT v.record, v.code, v.of_record, v.of_object, v.overlap, v.again / (v.one + v.other - v.again)
        FROM moved v
    $query$, staged, target) USING touch, same;
END;
$$;

-- Give the waiting rows the codes decided upon and answer how many. An object can be one record only: a second one,
-- or one whose object another row has by its own code, is undecided.
CREATE OR REPLACE FUNCTION cim.settle_unmatched(staged regclass) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    number bigint;
BEGIN
    EXECUTE format($query$
        UPDATE unmatched u SET how = 'undecided', code = NULL, objects = jsonb_build_object(u.code, u.score)
        WHERE u.code <> u.name
          AND (EXISTS (SELECT FROM %1$s s WHERE s.code = u.code AND s.record_ <> u.record)
               OR EXISTS (SELECT FROM claimed c WHERE c.code = u.code)
               OR EXISTS (SELECT FROM unmatched o WHERE o.code = u.code AND o.record < u.record))
    $query$, staged);
    -- Without its digest: what a record is that goes by another name depends on more than the record.
    EXECUTE format('UPDATE %s s SET code = u.code, digest_ = NULL FROM unmatched u
                    WHERE u.record = s.record_ AND u.code <> s.code', staged);
    GET DIAGNOSTICS number = ROW_COUNT;
    RETURN number;
END;
$$;

-- Record the decisions of a layer, remember in the crosswalk what minted codes stand for, and take out the rows that
-- are not to be taken.
CREATE OR REPLACE FUNCTION cim.record_decisions(staged regclass, type text, dataset text, layer text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    -- A type without geometry has none to keep.
    shape text := CASE WHEN EXISTS (SELECT FROM pg_attribute WHERE attrelid = staged AND attname = 'geom')
                       THEN 's.geom' ELSE 'NULL::geometry' END;
BEGIN
    EXECUTE format($query$
        INSERT INTO cim.decision (dataset, layer, record, type, name, how, code, score, objects, geom)
        SELECT $1, $2, u.record + 1, $3, u.name, u.how, u.code, u.score, u.objects,
               CASE WHEN u.code IS NULL THEN %2$s END
        FROM unmatched u JOIN %1$s s ON s.record_ = u.record
        WHERE u.how IS NOT NULL
    $query$, staged, shape) USING dataset, layer, type;
    INSERT INTO cim.identifier (scheme, value, type, code)
    SELECT 'provisional', u.name, record_decisions.type, u.code
    FROM unmatched u WHERE u.minted AND u.code <> u.name AND u.how IN ('same', 'person')
    ON CONFLICT DO NOTHING;
    EXECUTE format('DELETE FROM %s s USING unmatched u
                    WHERE u.record = s.record_ AND u.how IN (''undecided'', ''left out'')', staged);
    TRUNCATE unmatched;
END;
$$;

-- Add the other identifiers of waiting rows to the crosswalk, those it has not yet.
CREATE OR REPLACE FUNCTION cim.note_identifiers(staged regclass, type text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($query$
        INSERT INTO cim.identifier (scheme, value, type, code)
        SELECT i.scheme, i.value, $1, s.code
        FROM %s s CROSS JOIN jsonb_each_text(s.identifiers_) i(scheme, value)
        WHERE i.value IS NOT NULL
        ON CONFLICT DO NOTHING
    $query$, staged) USING type;
END;
$$;
