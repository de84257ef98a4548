create table target (id int, v varchar);
insert into target values (1, 'a'), (2, 'b'), (3, 'c');
create table source (id int, v varchar);
insert into source values (2, 'B'), (3, 'C'), (4, 'D');
merge into target as t using source as s on t.id = s.id
  when matched and s.v = 'C' then delete
  when matched then update set t.v = s.v || '!'
  when not matched and s.id > 100 then insert values (0, 'never')
  when not matched then insert (v, id) values (s.v, s.id);
select * from target order by id;
