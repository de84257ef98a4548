select id
frm tv.program
gruop by id
