-- What every scenario measures with. Sealed numbers are integers: square centimetres, millimetres, counts.

-- The one rounding of a quotient: to the nearest integer, ties to even, away from no one. num and den are integers,
-- den > 0. One expression, so that the planner inlines it; cim/scenarios/_indicator.py has its twin.
CREATE OR REPLACE FUNCTION cim.half_even(num numeric, den numeric) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (sign(num) * (div(abs(num), den)
        + CASE WHEN 2 * mod(abs(num), den) + mod(div(abs(num), den), 2) > den THEN 1 ELSE 0 END))::bigint;
$$;

-- The same for integers that stay within bigint when doubled, several times as fast as with numeric.
CREATE OR REPLACE FUNCTION cim.half_even(num bigint, den bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sign(num)::bigint * (abs(num) / den
        + CASE WHEN 2 * (abs(num) % den) + (abs(num) / den) % 2 > den THEN 1 ELSE 0 END);
$$;

-- Square metres to square centimetres. PostgreSQL's round(float8) takes ties to even; round(numeric) would not.
CREATE OR REPLACE FUNCTION cim.square_centimetres(square_metres float8) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT round(square_metres * 10000)::bigint;
$$;

CREATE OR REPLACE FUNCTION cim.millimetres(metres float8) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT round(metres * 1000)::bigint;
$$;

-- The share of a value that falls to `part` of `whole`: value × part ÷ whole, rounded half to even. A whole that is
-- unknown or nothing cannot be divided, so the value stays whole.
CREATE OR REPLACE FUNCTION cim.share(value bigint, part bigint, whole bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN whole IS NULL OR part = whole THEN value
                ELSE cim.half_even(value::numeric * part, whole) END;
$$;

-- Whether a scope covers a geometry: as ST_Covers, which takes a millisecond for each 1,000 corners of the scope where the
-- two share a boundary, as do parcels and a district drawn along them. What lies within the boundary is told by the
-- prepared scope; of what meets it, the scope within a metre of it tells.
CREATE OR REPLACE FUNCTION cim.covers(scope geometry, geom geometry) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ST_ContainsProperly(scope, geom)
           OR ST_Covers(ST_ClipByBox2D(scope, ST_Expand(geom, 1)::box2d), geom);
$$;

-- Whether a geometry lies within reach of a scope: as ST_DWithin, which measures the distance to every corner of the
-- scope also for what the prepared scope tells to be in it.
CREATE OR REPLACE FUNCTION cim.within_reach(geom geometry, scope geometry, reach float8) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT geom && ST_Expand(scope, reach) AND (ST_Intersects(geom, scope) OR ST_DWithin(geom, scope, reach));
$$;

-- How an area belongs to a scope it meets: its whole area and the part that belongs, in square metres, unrounded,
-- and whether it counts as one object there.
--   clip               the part is what lies inside; it counts where its point on surface lies
--   point_on_surface   it belongs as a whole, where its point on surface lies
--   intersects         it belongs as a whole wherever it touches
-- OFFSET 0 keeps the planner from testing containment more than once per object.
CREATE OR REPLACE FUNCTION cim.membership(geom geometry, scope geometry, mode text)
RETURNS TABLE (whole float8, part float8, counted boolean)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 AS $$
    SELECT placed.area,
           CASE WHEN placed.inside OR mode = 'intersects' THEN placed.area
                WHEN mode = 'clip' THEN ST_Area(ST_Intersection(
                    CASE WHEN ST_IsValid(geom) THEN geom ELSE ST_MakeValid(geom) END, scope))
                WHEN placed.counted THEN placed.area
                ELSE 0 END,
           placed.counted OR mode = 'intersects'
    FROM (SELECT ST_Area(geom) AS area, test.inside,
                 test.inside OR ST_Intersects(scope, ST_PointOnSurface(geom)) AS counted
          FROM (SELECT cim.covers(scope, geom) AS inside OFFSET 0) test
          OFFSET 0) placed;
$$;
