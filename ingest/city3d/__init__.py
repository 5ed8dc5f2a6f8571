"""City objects with bodies in three dimensions, whatever the file was: CityJSON, CityJSONSeq, CityGML.

`feature` says what an object is between file and table, `cityjson` and `citygml` read it, `body` takes footprint and
heights from it, `keep` writes it as a file of its own, `layers` makes Arrow records of it.
"""
