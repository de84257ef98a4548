-- The rest of the day on the free offer, each programme once: in prime time if it is on then, else as soon as it is on.
with broadcasts as (
  {{ free_broadcasts('current_timestamp::timestamp_ntz', 'current_date + 1') }}
),
local_hours as (
  select *, hour(convert_timezone('UTC', {{ timezone }}, start_at)) as local_hour
  from broadcasts
)
select
  program_id,
  channel_id,
  start_at as next_start_at,
  iff(local_hour >= {{ prime_time.first }} and local_hour < {{ prime_time.last }}, 1, 0) as prime_time
from local_hours
qualify row_number() over (partition by program_id order by prime_time desc, start_at, channel_id) = 1
