-- Curves as lines, by position; null where the value is no geometry of ours.
SELECT ST_AsBinary(ST_CurveToLine(ST_GeomFromWKB(shape)), 'NDR')
FROM unnest(CAST(:shapes AS bytea[])) WITH ORDINALITY AS given(shape, position)
ORDER BY position;
