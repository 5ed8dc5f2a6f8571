-- One quick read in one snapshot: a few milliseconds of work gain nothing from workers or compiled code.
SELECT set_config('transaction_read_only', 'on', true),
       set_config('max_parallel_workers_per_gather', '0', true),
       set_config('jit', 'off', true)
