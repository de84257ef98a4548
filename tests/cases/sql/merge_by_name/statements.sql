create table t (id int, name varchar, n int);
insert into t values (1, 'old', 1), (2, 'old', 20);
merge into t using (select 30 as n, 'more' as name, 3 as id union all select 10, 'new', 1) as s on t.id = s.id
when matched then update all by name
when not matched then insert all by name;
select * from t order by id;
