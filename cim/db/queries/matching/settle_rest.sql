-- What nothing was found for is new, under the code its name gives.
UPDATE unmatched SET how = 'new', code = name WHERE minted AND how IS NULL;
