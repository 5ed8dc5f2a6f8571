UPDATE cim.api_key SET revoked = now() WHERE id = :id AND revoked IS NULL
