-- Records of a data set that nobody could place, as GeoJSON-ready rows.
SELECT d.layer, d.record, d.source_id, d.type, d.name, d.objects, ST_AsBinary(d.geom, 'NDR') AS geom
FROM cim.decision d WHERE d.dataset = :dataset AND d.how = 'undecided' ORDER BY d.layer, d.record;
