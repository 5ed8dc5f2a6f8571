SELECT set_config('cim.divisions', :divisions, true)
