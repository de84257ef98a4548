create table e (id int, boss int);
insert into e values (1, 2), (2, 1), (3, 3);
select id from e start with id = 1 connect by prior id = boss;
