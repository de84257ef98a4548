create table e (id int, boss int);
insert into e values (1, 2), (2, 1);
select id, level from e start with id = 1 connect by prior id = boss and level <= 3 order by level;
