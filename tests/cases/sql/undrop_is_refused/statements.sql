create table t (a int); drop table t; undrop table t;
