create table t (id int, v int);
insert into t values (1, 0), (2, 0), (3, 0);
update t set v = s.x from (select * from values (1, 5), (1, 5), (2, 6) as s (id, x)) s where t.id = s.id;
