SELECT id, name, scopes, divisions, created, expires, revoked, quota, used, used_since
FROM cim.api_key ORDER BY created, id
