select program_id, count(*) as airings
from tv.airing
where channel_id in (select channel_id from tv.offer where bundle_id in ({{ bundles }}))
  and start_at >= current_date
  and start_at < current_date + 6
group by program_id
