INSERT INTO cim.api_key (id, secret, name, scopes, divisions, expires)
VALUES (:id, :secret, :name, CAST(:scopes AS text[]), CAST(:divisions AS text[]), :expires)
