INSERT INTO cim.migration (version, sha256) VALUES (:version, :sha256)
