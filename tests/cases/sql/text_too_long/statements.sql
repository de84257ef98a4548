create table t (a varchar(2)); insert into t values ('äö'); insert into t values ('abc');
