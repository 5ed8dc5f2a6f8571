INSERT INTO cim.api_key (id, secret, name, scopes, divisions, expires, quota)
VALUES (:id, :secret, :name, CAST(:scopes AS text[]), CAST(:divisions AS text[]), :expires, :quota)
