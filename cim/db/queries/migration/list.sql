SELECT version, sha256 FROM cim.migration ORDER BY version
