with cte_total_watch as (
    select PROGRAM_ID, sum(DURATION) as total_watch
    from dw.fact_watch
    where date_day > current_date() - 7
    group by PROGRAM_ID
),
cte_total_replay_watch as (
    select PROGRAM_ID, sum(DURATION) as total_replay_watch
    from dw.fact_watch
    where date_day > current_date() - 7 and asset_type = 'replay'
    group by PROGRAM_ID
),
cte_total_people_replay as (
    select PROGRAM_ID, count(distinct USER_ID) as total_people_replay
    from dw.fact_watch
    where date_day > current_date() - 7 and asset_type = 'replay' and DURATION > 30
    group by PROGRAM_ID
),
cte_available_replay as (
    SELECT
    DISTINCT p.id
    , p.title
    , rtc.tvbundle_id
    , t.name
    FROM backend.vod v
        INNER JOIN backend.episode e ON v.episode_id = e.id
        INNER JOIN backend.program p ON e.program_id = p.id
        INNER JOIN backend.channel c ON v.channel_id = c.id
        INNER JOIN backend.rel_tvbundle_channel rtc ON v.channel_id = rtc.channel_id
        INNER JOIN backend.tvbundle t ON rtc.tvbundle_id = t.id    
    WHERE v.disabled = 0 

    AND t.is_commercialized = 1
    AND v.available_from <= current_date()
    AND v.available_until >= current_date()
    AND v.withdrawn_at IS NULL
    and v.deleted_at IS NULL
)
select distinct ID, TITLE, total_watch, total_replay_watch, total_people_replay
from cte_available_replay
join cte_total_watch
ON cte_total_watch.PROGRAM_ID = cte_available_replay.ID
join cte_total_replay_watch
ON cte_total_replay_watch.PROGRAM_ID = cte_available_replay.ID
join cte_total_people_replay
ON cte_total_people_replay.PROGRAM_ID = cte_available_replay.ID
order by total_people_replay desc
