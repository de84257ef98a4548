create table t (a int, b int);
create or alter table t (c int, a int, b int);
