SELECT cim.set_context(:actor, :reason, :dataset);
