SET LOCAL ROLE cim_district
