create table t (v variant); insert into t values ('abc');
