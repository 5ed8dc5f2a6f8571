-- Forget the records of a lineage on all bases but the last used.
WITH oldest AS (
    DELETE FROM cim.familiar_layer
    WHERE id IN (SELECT id FROM cim.familiar_layer WHERE type = :type AND lineage = :lineage
                 ORDER BY used DESC, id DESC OFFSET :most)
    RETURNING id)
DELETE FROM cim.familiar WHERE layer IN (SELECT id FROM oldest);
