-- Add or amend rows of the crosswalk; what is as it was is not recorded.
INSERT INTO cim.identifier (scheme, value, type, code, valid_from, valid_to, issuer)
SELECT * FROM unnest(CAST(:schemes AS text[]), CAST(:values AS text[]), CAST(:types AS text[]), CAST(:codes AS text[]),
                     CAST(:valid_from AS date[]), CAST(:valid_to AS date[]), CAST(:issuers AS text[]))
ON CONFLICT (scheme, value, code) DO UPDATE
SET type = excluded.type, valid_from = excluded.valid_from, valid_to = excluded.valid_to, issuer = excluded.issuer
