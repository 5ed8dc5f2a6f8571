-- The dataset, its mapping, its report, and whether another file of the same name came after it.
SELECT d.mapping, d.report,
       EXISTS (SELECT FROM cim.dataset n WHERE n.name = d.name AND n.sha256 <> d.sha256 AND n.loaded > d.loaded)
           AS superseded
FROM cim.dataset d WHERE d.sha256 = :sha256;
