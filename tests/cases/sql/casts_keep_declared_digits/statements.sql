select '10:20:30.987'::time(0), '2024-01-01 10:20:30.123456'::timestamp_ntz(3), try_cast('10:00:00.55' as time(1));
