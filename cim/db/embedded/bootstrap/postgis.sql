-- One row (default_version, installed_version) where the server has PostGIS; installed_version is NULL
-- while this database has not created the extension. No row: the server lacks the package.
SELECT default_version, installed_version
FROM pg_available_extensions
WHERE name = 'postgis';
