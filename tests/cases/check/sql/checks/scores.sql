with figures as (
  select
    p.id as program_id,
    coalesce((select count(distinct b.user_id) from tv.bookmark as b
              where b.program_id = p.id and b.made_at >= current_date - {{ days }} and b.made_at < current_date), 0) as bookmarks,
    coalesce(r.rating, 0) as rating,
    coalesce(w.hours, 0) as hours
  from tv.program as p
  left join (select program_id, avg(rating) as rating from tv.rating where service = 2 group by program_id) as r
    on r.program_id = p.id
  left join (select program_id, sum(duration) / 3600 as hours from tv.watch
             where day between current_date - {{ days }} and current_date - 1 group by program_id) as w
    on w.program_id = p.id
  where p.id in (
    select a.program_id from tv.airing as a join tv.offer as o on o.channel_id = a.channel_id and o.bundle_id in ({{ bundles }})
    where a.start_at >= current_date and a.start_at < dateadd(day, 6, current_date)
  )
)
select
  program_id,
  (
    {%- for name, weight in weights | items %}
    {% if not loop.first %}+ {% endif %}{{ weight }} * coalesce({{ name | ident }}::float / nullif(max({{ name | ident }}) over (), 0), 0)
    {%- endfor %}
  ) as score
from figures
order by score desc
