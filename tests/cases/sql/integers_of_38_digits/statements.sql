create table t (id int, big number(38, 0));
insert into t values (1, 5), (2, 99999999999999999999999999999999999999);
update t set big = big + 1 where id = 1;
select big from t order by id;
