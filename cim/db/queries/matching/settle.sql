-- Note what was decided about unmatched rows, by record.
UPDATE unmatched u SET how = d.how, code = coalesce(d.code, CASE WHEN d.how IN ('split', 'merge') THEN u.name END),
    score = d.score, objects = CAST(d.objects AS jsonb)
FROM unnest(CAST(:records AS bigint[]), CAST(:hows AS text[]), CAST(:codes AS text[]), CAST(:scores AS float8[]),
            CAST(:objects AS text[])) AS d(record, how, code, score, objects)
WHERE u.record = d.record;
