-- The affine map that takes coordinates of another CRS into a box, where it strays from the projection by less than
-- `stray`, in units of the box, in each direction; `within` is the largest upright box of that CRS that lies in it, null
-- where the map strays further. By least squares over nine points; what is left is the curvature of the projection.
-- It takes a corner of a building in a tenth of the time of ST_Transform. plpgsql, so that its plan is kept.
CREATE OR REPLACE FUNCTION cim.plane_of_box(
    box geometry, srid integer, stray double precision,
    OUT within geometry,
    OUT a double precision, OUT b double precision, OUT d double precision, OUT e double precision,
    OUT x double precision, OUT y double precision)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    i float8 := (ST_XMax(box) - ST_XMin(box)) / 2;
    j float8 := (ST_YMax(box) - ST_YMin(box)) / 2;
    m float8 := ST_XMin(box) + i;
    n float8 := ST_YMin(box) + j;
BEGIN
    WITH nine AS MATERIALIZED (
        SELECT u, v, ST_X(p) AS px, ST_Y(p) AS py
        FROM (VALUES (-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 0), (0, 1), (1, -1), (1, 0), (1, 1)) AS grid (u, v),
            ST_Transform(ST_SetSRID(ST_MakePoint(m + u * i, n + v * j), ST_SRID(box)), srid) AS p
    ), fit AS (  -- from the box, in halves of its sides
        SELECT avg(px) AS xm, sum(u * px) / 6 AS xu, sum(v * px) / 6 AS xv,
               avg(py) AS ym, sum(u * py) / 6 AS yu, sum(v * py) / 6 AS yv,
               cim.shrunk_box(max(px) FILTER (WHERE u = -1), max(py) FILTER (WHERE v = -1),
                              min(px) FILTER (WHERE u = 1), min(py) FILTER (WHERE v = 1), 0, srid) AS inner_box
        FROM nine
    ), inverse AS MATERIALIZED (  -- and into it
        SELECT xm, ym, inner_box, i * yv / det AS a, -i * xv / det AS b, -j * yu / det AS d, j * xu / det AS e
        FROM fit, LATERAL (SELECT xu * yv - xv * yu AS det) AS determinant
    )
    SELECT CASE WHEN stray > (
               SELECT max(greatest(abs(o.a * (px - xm) + o.b * (py - ym) - u * i),
                                   abs(o.d * (px - xm) + o.e * (py - ym) - v * j))) FROM nine)
           THEN inner_box END, o.a, o.b, o.d, o.e, m - o.a * xm - o.b * ym, n - o.d * xm - o.e * ym
    INTO within, a, b, d, e, x, y
    FROM inverse o;
END;
$$;
