-- Tags of what is heard for a tenth of the time or more, weighted by its share; and the loudness, in LUFS.
with shares as (
  select program_id, 'speech' as tag, speech as weight from sounds
  union all
  select program_id, 'music' as tag, music as weight from sounds
  union all
  select program_id, 'silence' as tag, silence as weight from sounds
)
select program_id, 'audio' as origin, tag, weight from shares where weight >= {{ least_share }}
union all
select program_id, 'audio' as origin, 'loudness' as tag, loudness as weight from sounds where loudness is not null
