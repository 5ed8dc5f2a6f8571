-- Whether the planner may loop over one table for each row of another, in this transaction; answers whether it might before.
SELECT current_setting('enable_nestloop') AS before, set_config('enable_nestloop', :may, true);
