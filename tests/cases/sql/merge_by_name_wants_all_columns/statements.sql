create table t (id int, n int);
merge into t using (select 1 as id) as s on t.id = s.id when not matched then insert all by name;
