-- Episodes on replay in a commercial offer now; news bulletins are out, since yesterday's is worth nothing.
select distinct
  e.id as episode_id,
  p.id as program_id,
  p.title,
  iff(p.ref_program_category_id in ({{ long_lived_categories }}), {{ max_age.long_lived }}, {{ max_age.other }}) as max_age
from backend.vod as v
join backend.episode as e on e.id = v.episode_id
join backend.program as p on p.id = e.program_id
join backend.rel_tvbundle_channel as r on r.channel_id = v.channel_id
join backend.tvbundle as t on t.id = r.tvbundle_id
where v.video_type = 'REPLAY'
  and v.disabled = 0
  and v.withdrawn_at is null
  and v.deleted_at is null
  and v.available_from <= current_date
  and v.available_until >= current_date
  and t.is_commercialized = 1
  and not (p.ref_program_category_id = 4 and p.ref_program_kind_id in (36, 43))
