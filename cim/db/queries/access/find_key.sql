-- A key that may be used now.
SELECT secret, name, scopes, divisions, quota
FROM cim.api_key
WHERE id = :id AND revoked IS NULL AND (expires IS NULL OR expires > now())
