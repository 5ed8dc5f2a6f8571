-- Minted codes and the codes of the objects they turned out to be; null for a row that is not taken.
SELECT name, code FROM unmatched WHERE minted AND (code IS NULL OR code <> name);
