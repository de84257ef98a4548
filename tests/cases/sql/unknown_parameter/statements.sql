alter session set timezon = 'UTC';
