with temp as (
  select PERSON_ID, FIRST_NAME, LAST_NAME, count(*) as cnt 
  from backend.person
  left outer join backend.user_follow_person 
  on PERSON_ID = ID
  where source = 'molotov'
  group by PERSON_ID, FIRST_NAME, LAST_NAME
),
 rel_person_prog as (
    select PROGRAM_ID, PERSON_ID
    from backend.rel_program_person
    UNION (
      select program_id, person_id 
      from backend.rel_episode_person 
      join backend.episode 
      on episode_id = id 
     )
),
pop_score_per_program as (
  select p.PROGRAM_ID, SUM(coalesce(temp.cnt, 0)) as total_celeb_points
    from temp
    join rel_person_prog as p
    on p.PERSON_ID = temp.PERSON_ID
  group by p.PROGRAM_ID
),
 free_channel as (
 select CHANNEL_ID, TVBUNDLE_ID, bc.NAME, bc.DISPLAY_NAME 
            from backend.rel_tvbundle_channel
            inner join backend.channel as bc on CHANNEL_ID = bc.ID
            where tvbundle_id in (25, 90, 26, 31, 60)
 )

select distinct AFFINITY, pop_score_per_program.PROGRAM_ID, bp.TITLE, total_celeb_points
from pop_score_per_program
join backend.program as bp
on ID = pop_score_per_program.PROGRAM_ID
left join external_sources.daily_prog_affinity
on bp.id=external_sources.daily_prog_affinity.program_id
join backend.broadcast as bb
on bb.PROGRAM_ID = bp.ID
join free_channel as fc
on bb.CHANNEL_ID = fc.CHANNEL_ID
where REF_PROGRAM_CATEGORY_ID = 1 and START_AT >= current_date and START_AT < current_date + 7
order by total_celeb_points desc
