create table t1 (c1 number);
create table t2 (c1 number, c2 number default 9);
create table t3 (c1 number);
insert all
  when n > 1 then into t1
  when n > 2 then into t1 into t2 (c1) values (n * 10)
  else into t3
  select column1 as n from values (1), (2), (3);
insert first
  when n > 1 then into t1
  when n > 2 then into t2 values (n, default)
  else into t3 values (-n)
  select column1 as n from values (1), (2), (3);
select 't1' as t, c1, null as c2 from t1 union all select 't2', c1, c2 from t2 union all select 't3', c1, null from t3
  order by 1, 2;
