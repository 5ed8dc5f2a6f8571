-- The crosswalk's schemes that some values stand in.
SELECT DISTINCT scheme, value FROM cim.identifier WHERE value = ANY(:values)
