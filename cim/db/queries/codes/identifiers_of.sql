-- Every other identifier an object has or had.
SELECT scheme, value, valid_from, valid_to, issuer FROM cim.identifier
WHERE type = :type AND code = :code ORDER BY scheme, value
