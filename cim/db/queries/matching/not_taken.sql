-- Rows not to be taken, in the order of the layer.
SELECT record, name, how, objects FROM unmatched WHERE how IN ('undecided', 'left out') ORDER BY record;
