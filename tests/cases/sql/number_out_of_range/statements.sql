create table t (a number(3, 1)); insert into t values (99.96);
