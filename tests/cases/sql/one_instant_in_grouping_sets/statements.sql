-- one instant with two offsets, in groups, in groups of groups and in none
select at::date as day, at_null, all_of_them, total from (
  select column1 as at, column1 is null as at_null, grouping(column1) as all_of_them, sum(column2) as total
  from values ('2024-01-01 10:00:00 +0100'::timestamp_tz, 1), ('2024-01-01 09:00:00 +0000'::timestamp_tz, 2),
    ('2024-01-02 09:00:00 +0000'::timestamp_tz, 4), (null, 8)
  group by rollup (column1))
order by all_of_them, total;
