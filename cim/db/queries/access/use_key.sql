-- Add requests to what a key has sent in the period that began at `since`, which may be a new one.
UPDATE cim.api_key
SET used = CASE WHEN used_since = :since THEN used + :more ELSE :more END, used_since = :since
WHERE id = :id
RETURNING used
