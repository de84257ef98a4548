create or replace function f() returns int as '1';
