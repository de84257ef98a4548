create table t (a, b, c) as select 1, 2;
