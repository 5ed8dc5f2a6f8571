-- How many requests a key may send in a period, and how many it has sent in the one that began last.
ALTER TABLE cim.api_key
    ADD COLUMN quota text,
    ADD COLUMN used bigint NOT NULL DEFAULT 0,
    ADD COLUMN used_since timestamptz;
COMMENT ON COLUMN cim.api_key.quota IS 'Requests it may send in a period, as 10000/day; null for no quota';
COMMENT ON COLUMN cim.api_key.used IS 'Requests counted in the period that began at used_since';

COMMENT ON TABLE cim.private_read IS
    'Who read which private fields of which object, over the API or as a disclosure; append-only';
