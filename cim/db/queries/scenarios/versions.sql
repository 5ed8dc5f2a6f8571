-- What clipping depends on.
SELECT postgis_lib_version() AS postgis, postgis_geos_version() AS geos
