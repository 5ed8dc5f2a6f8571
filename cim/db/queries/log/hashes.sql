SELECT hash FROM cim.leaf WHERE idx >= :first AND idx < :end ORDER BY idx
