create table a (x int);
create table b (x int);
insert all into a into b values (x + 1) select column1 as x from values (1), (2);
