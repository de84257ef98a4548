-- Hours watched of each programme.
{{ viewing_hours(watch_days, watch_hours_cap) }}
order by hours desc, program_id
