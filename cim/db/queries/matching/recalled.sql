-- Codes of unmatched rows that the crosswalk knows or that gave way to others.
SELECT u.record, u.name, u.minted FROM unmatched u
WHERE u.how IS NULL
  AND (EXISTS (SELECT FROM cim.identifier i WHERE i.value = u.name AND i.type = :type)
       OR EXISTS (SELECT FROM cim.revision r WHERE r.op = 'supersede' AND r.type = :type AND r.code = u.name));
