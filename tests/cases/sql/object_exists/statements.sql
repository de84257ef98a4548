create table t (a int); create table T (b int);
