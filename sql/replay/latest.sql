-- The lists as the product reads them.
select
  user_id,
  to_json(array_agg(object_construct(
    'EPISODE_ID', episode_id, 'PROGRAM_ID', program_id, 'reco_origin', reco_origin, 'rating', rating::number(12, 2)
  )) within group (order by position)) as recommendations,
  current_date - 1 as update_date
from ranked
group by user_id
