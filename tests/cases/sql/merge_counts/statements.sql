create table target (id int, v int default 7);
insert into target values (1, 10);
merge into target t using (select column1 as id from values (1), (2), (3)) s on t.id = s.id
  when matched then update set v = 100 / (s.id - 1 + 1)
  when not matched then insert (id) values (s.id);
