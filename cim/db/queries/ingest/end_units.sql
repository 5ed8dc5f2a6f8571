-- End the units that an earlier file of this name gave to buildings of this one, and this one does not.
UPDATE city.unit gone
SET valid_to = CURRENT_DATE
WHERE gone.valid_to IS NULL AND gone.attributes ->> 'model_file' <> :content
  AND gone.building_code IN (SELECT code FROM city.building WHERE model_file = :content)
  AND EXISTS (
      SELECT FROM cim.revision v JOIN cim.dataset d ON v.dataset = 'sha256:' || d.sha256
      WHERE v.type = 'unit' AND v.code = gone.code AND d.name = :name AND d.sha256 <> :sha256);
