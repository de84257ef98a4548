create table valid (id number, since timestamp, until date);
insert into valid values (1, '2024-01-01', '9999-12-31'), (2, '2024-01-01', '2024-03-01');
select id, '2024-06-01'::timestamp < until as now, since > '0001-01-01' as ever, current_timestamp() < '9999-12-31' as still
from valid where until >= '2024-02-01'::timestamp order by id;
