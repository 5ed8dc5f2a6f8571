SELECT id, name, scopes, divisions, created, expires, revoked FROM cim.api_key ORDER BY created, id
