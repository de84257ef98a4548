-- Pairs that have viewers, people or words in common, and whether they are of one category.
with signals as (
  select program_id, similar_program_id, score as co_watching, 0 as people, 0 as synopsis from by_viewers
  union all
  select program_id, similar_program_id, 0, score, 0 from by_people
  union all
  select program_id, similar_program_id, 0, 0, score from by_synopsis
)
select
  s.program_id,
  s.similar_program_id,
  max(s.co_watching) as co_watching,
  max(s.people) as people,
  max(s.synopsis) as synopsis,
  max(iff(a.category = b.category, 1, 0)) as same_category
from signals as s
join catalogue as a on a.program_id = s.program_id
join catalogue as b on b.program_id = s.similar_program_id
group by s.program_id, s.similar_program_id
