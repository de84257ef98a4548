create table tab1 (k number, v varchar);
insert into tab1 values (0, 'value 0'), (1, 'value 1'), (2, 'value 2');
delete from tab1 using (select column1 as k from values (0), (2), (2)) tab2 where tab1.k = tab2.k;
select * from tab1;
