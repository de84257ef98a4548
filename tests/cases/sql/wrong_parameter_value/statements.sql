alter session set week_start = 9;
