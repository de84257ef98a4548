create table t (a int); create table if not exists t (b int);
