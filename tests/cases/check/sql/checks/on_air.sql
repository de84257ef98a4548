select a.program_id, count(*) as airings
from tv.airing as a
join (select distinct channel_id from tv.offer where bundle_id in ({{ bundles }})) as o on o.channel_id = a.channel_id
where a.start_at >= current_date and a.start_at < dateadd(day, 6, current_date)
group by a.program_id
