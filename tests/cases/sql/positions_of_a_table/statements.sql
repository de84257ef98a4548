create table t (a int, b varchar);
insert into t values (1, 'x');
select u.$2, $1 from t as u;
