-- End the buildings that an earlier file of this name had and this one has not. It must have others of them: two models
-- that share nothing but their name are two models.
UPDATE city.building gone
SET valid_to = CURRENT_DATE
WHERE gone.valid_to IS NULL AND gone.model_file IS NOT NULL AND gone.model_file <> :content
  AND EXISTS (
      SELECT FROM cim.revision v JOIN cim.dataset d ON v.dataset = 'sha256:' || d.sha256
      WHERE v.type = 'building' AND v.code = gone.code AND d.name = :name AND d.sha256 <> :sha256)
  AND EXISTS (
      SELECT FROM city.building still
      JOIN cim.revision v ON v.type = 'building' AND v.code = still.code
      JOIN cim.dataset d ON v.dataset = 'sha256:' || d.sha256
      WHERE still.model_file = :content AND d.name = :name AND d.sha256 <> :sha256);
