DELETE FROM cim.decision WHERE dataset = :dataset;
