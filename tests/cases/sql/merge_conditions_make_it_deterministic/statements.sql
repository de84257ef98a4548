create table target (id int, v varchar);
insert into target values (1, 'a');
merge into target t using (select * from values (1, 'x'), (1, 'y') as s (id, v)) s on t.id = s.id
  when matched and s.v = 'y' then update set v = s.v;
select * from target;
