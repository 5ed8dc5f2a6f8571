-- Callers hold the migration's lock and have found none.
INSERT INTO cim.deployment (srid) VALUES (CAST(:srid AS integer))
