-- What programmes say of themselves.
select program_id, synopsis from catalogue where synopsis is not null
