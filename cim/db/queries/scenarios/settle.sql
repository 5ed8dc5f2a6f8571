-- One quick read in one snapshot: a few milliseconds of work gain nothing from workers or compiled code; a plan must
-- know the scope and whether the live tables are read; and an index lookup costs little in what is read all the time.
-- The parcels of a large city must fit a hash: the planner would go through all of them for each building instead.
-- Bitmaps: beside the few revisions in a box the planner would mark all of their type, to have both conditions.
SELECT set_config('transaction_read_only', 'on', true),
       set_config('max_parallel_workers_per_gather', '0', true),
       set_config('jit', 'off', true),
       set_config('plan_cache_mode', 'force_custom_plan', true),
       set_config('work_mem', '64MB', true),
       set_config('random_page_cost', '1.1', true),
       set_config('enable_bitmapscan', 'off', true)
