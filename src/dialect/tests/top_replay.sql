with cte_broadcast_watch as (
  select backend.program.title, episode_id, 
    sum(fw.duration) as total_duration, 
    count(CASE WHEN fw.duration > GREATEST(20 * 60, 0.8 * backend.episode.duration) THEN USER_ID ELSE NULL END) as nb_engaged_watchers,
    min(real_start_at) as first_aired_at
  from dw.fact_watch as fw
  join backend.program 
  on id = program_id
  join backend.episode
  on episode_id = backend.episode.id
  where real_start_at > current_date - 7 and fw.DURATION > 15 * 60
  group by backend.program.title, episode_id
  order by total_duration desc
),
cte_available_replay as (
    SELECT
    DISTINCT p.id, e.id as episode_id
    FROM backend.vod v
        INNER JOIN backend.episode e ON v.episode_id = e.id
        INNER JOIN backend.program p ON e.program_id = p.id
        INNER JOIN backend.channel c ON v.channel_id = c.id
        INNER JOIN backend.rel_tvbundle_channel rtc ON v.channel_id = rtc.channel_id
        INNER JOIN backend.tvbundle t ON rtc.tvbundle_id = t.id    
    WHERE v.disabled = 0 
    AND v.video_type = 'REPLAY' 
    AND t.is_commercialized = 1
    AND v.available_from <= current_date()
    AND v.available_until >= current_date()
    AND v.withdrawn_at IS NULL
    and v.deleted_at IS NULL
),
cte_reco as (
with cte as (
  select USER_ID, value:EPISODE_ID as EPISODE_ID, value:PROGRAM_ID as rec_prog_id, value:reco_origin as origin, value:rating as rating
  from ML.USER_REPLAY_RECOMMENDATIONS_LATEST, lateral flatten(input => parse_json(recommendations))
  where USER_ID in (0) and UPDATE_DATE = current_date - 1
)
select EPISODE_ID, p.title, origin, rating, CASE WHEN REF_PROGRAM_CATEGORY_ID in (1, 2, 8) THEN 7 else 3 END as max_age
from cte
join backend.program p
on p.ID = rec_prog_id
order by rating desc
)
select backend.program.title, rating,
       round(total_duration / 3600 * (1 - 0.5 * (datediff('DAY', first_aired_at, current_date) / max_age)) * 1, 0 ) as weighted_total_watch, 
       round(nb_engaged_watchers * (1 - 0.5 * (datediff('DAY', first_aired_at, current_date) / max_age)) * 1, 0 ) as weighted_engaged_watchers ,
       first_aired_at, datediff('DAY', first_aired_at, current_date) as age, ar.episode_id
from cte_broadcast_watch as bw
join cte_available_replay as ar
on ar.episode_id = bw.episode_id
join backend.program 
on ar.id = backend.program.id
left join cte_reco
on cte_reco.EPISODE_ID = bw.EPISODE_ID
where not (REF_PROGRAM_KIND_ID in (36, 43) and REF_PROGRAM_CATEGORY_ID = 4) and age <= max_age 
--qualify row_number() over(partition by backend.program.title order by total_duration desc) = 1
order by weighted_engaged_watchers desc
