select try_to_timestamp('9999-12-31');
