with  free_channel as (
 select CHANNEL_ID, TVBUNDLE_ID, bc.NAME, bc.DISPLAY_NAME 
            from backend.rel_tvbundle_channel
            inner join backend.channel as bc on CHANNEL_ID = bc.ID
            where tvbundle_id in (25, 90, 26, 31, 60)
 )
select distinct AFFINITY, backend.program.TITLE, rating
from backend.program_rating
join backend.broadcast
on backend.program_rating.PROGRAM_ID = backend.broadcast.PROGRAM_ID
join backend.program 
on backend.program.ID = backend.broadcast.PROGRAM_ID
left join external_sources.daily_prog_affinity
on backend.program.ID=external_sources.daily_prog_affinity.program_id
join free_channel
on free_channel.CHANNEL_ID = backend.broadcast.CHANNEL_ID
where REF_PROGRAM_CATEGORY_ID = 1 and PROGRAM_RATING_SERVICES_ID = 2 and PROGRAM_RATING_TYPE_ID = 2
and START_AT >= current_date and START_AT <= current_date + 7
order by rating desc
