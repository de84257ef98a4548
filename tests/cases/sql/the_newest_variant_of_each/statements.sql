create table event (id number, v variant);
insert into event select 1, parse_json('{"ts": "2024-01-02", "n": 2}') union all select 1, parse_json('{"ts": "2024-01-03", "n": 3}')
  union all select 2, parse_json('{"ts": "2024-01-01", "n": 5}');
select id, v:n::number as n from event qualify row_number() over (partition by id order by v:ts desc) = 1 order by id;
