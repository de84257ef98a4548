select X'aabbcc'::binary(2);
