-- Who watched a broadcast for a minute or more while it was on.
select w.date_day, b.channel_id, b.start_at, count(distinct w.user_id) as viewers
from dw.fact_watch as w
join backend.broadcast as b
  on b.program_id = w.program_id
  and b.channel_id = w.channel_id
where w.asset_type = 'live'
  and w.date_day between current_date - 7 and current_date - 1
  and timestampdiff(second, greatest(b.start_at, w.real_start_at), least(b.end_at, timestampadd(second, w.duration, w.real_start_at))) >= 60
group by w.date_day, b.channel_id, b.start_at
order by viewers desc, b.start_at, b.channel_id
