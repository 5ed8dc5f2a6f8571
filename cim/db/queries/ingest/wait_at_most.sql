-- Wait so long for a lock, in this transaction; answers how long it was before.
SELECT current_setting('lock_timeout') AS before, set_config('lock_timeout', :wait, true);
