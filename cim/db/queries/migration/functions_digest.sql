-- The digest of the function scripts stands in the schema's comment, where psql's \dn+ shows it.
SELECT substring(obj_description('cim'::regnamespace) FROM 'functions ([0-9a-f]{64})')
