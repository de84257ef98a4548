-- The sound files of programmes, named after the programme: 1001.flac.
select try_to_number(split_part(name, '.', 1)) as program_id, content
from external_sources.audio_clip
where try_to_number(split_part(name, '.', 1)) is not null
