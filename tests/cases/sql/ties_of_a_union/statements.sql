select 'b' as name, 1 as place union select 'c', 0 union select 'a', 1 union select null, 1 order by place;
