create table t (a int not null, b int); insert into t (b) values (1);
