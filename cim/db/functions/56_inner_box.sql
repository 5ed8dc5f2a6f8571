-- An upright box less a margin, and less what `@` errs by, which compares in single precision; null where nothing is left.
CREATE OR REPLACE FUNCTION cim.shrunk_box(
    west double precision, south double precision, east double precision, north double precision,
    margin double precision, srid integer) RETURNS geometry
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    less float8 := margin + greatest(abs(west), abs(south), abs(east), abs(north)) / (1 << 22);
BEGIN
    RETURN CASE WHEN west + less < east - less AND south + less < north - less
                THEN ST_MakeEnvelope(west + less, south + less, east - less, north - less, srid) END;
END;
$$;

-- The largest upright box of another CRS, less a margin, of which every point lies in `box`; null where there is none, or
-- where the box is two. What lies in it meets the box, and need not be projected to tell. The edges are curves there,
-- followed by points at most `step` apart: between them they stray by far less than the margin.
CREATE OR REPLACE FUNCTION cim.inner_box(box geometry, srid integer, step double precision, margin double precision)
RETURNS geometry
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    x1 float8 := ST_XMin(box);
    y1 float8 := ST_YMin(box);
    x2 float8 := ST_XMax(box);
    y2 float8 := ST_YMax(box);
    of integer := ST_SRID(box);
    west float8 := ST_XMax(ST_Transform(ST_Segmentize(ST_MakeLine(ST_Point(x1, y1, of), ST_Point(x1, y2, of)), step), srid));
    east float8 := ST_XMin(ST_Transform(ST_Segmentize(ST_MakeLine(ST_Point(x2, y1, of), ST_Point(x2, y2, of)), step), srid));
    south float8 := ST_YMax(ST_Transform(ST_Segmentize(ST_MakeLine(ST_Point(x1, y1, of), ST_Point(x2, y1, of)), step), srid));
    north float8 := ST_YMin(ST_Transform(ST_Segmentize(ST_MakeLine(ST_Point(x1, y2, of), ST_Point(x2, y2, of)), step), srid));
BEGIN
    RETURN CASE WHEN ST_NumGeometries(box) = 1 THEN cim.shrunk_box(west, south, east, north, margin, srid) END;
END;
$$;
