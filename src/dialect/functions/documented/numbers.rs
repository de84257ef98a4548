use super::check;

#[test]
fn operators() {
    check(&[
        ("10.01 * 1.1", "11.011"),
        ("10.001 * .001", "0.010001"),
        ("2/7", "0.285714"),
        ("10.1/2.1", "4.8095238"),
        ("1/100000000", "0.000000"),
        ("9223372036854775807 + 1", "9223372036854775808"),
        ("-7 % 3", "-1"),
        ("'1.5' + 1", "2.50000"),
        ("1e0 / 4", "0.250000"),
        ("1 / 0", "error"),
        ("1e0 / 0", "error"),
        ("1 % 0", "error"),
        ("'a' + 1", "error"),
        ("NULL / 0", "NULL"),
        ("99999999999999999999999999999999999999 + 1", "error"),
        ("DATE '2024-02-28' + 2", "2024-03-01"),
        ("DATE '2024-03-01' - DATE '2024-02-01'", "29"),
        ("DATE '2024-01-31' + INTERVAL '1 month'", "2024-02-29"),
        ("DATE '2024-01-31' + TIME '10:00:00'", "error"),
    ]);
}

#[test]
fn comparisons() {
    check(&[
        ("'1' = 1", "true"),
        ("'1.0' = 1", "true"),
        ("0.1 + 0.2 = 0.3", "true"),
        ("'NaN'::FLOAT = 'NaN'::FLOAT", "true"),
        ("'NaN'::FLOAT > 'inf'::FLOAT", "true"),
        ("PARSE_JSON('3') > 2.5", "true"),
        ("PARSE_JSON('\"a\"') = 'a'", "true"),
        ("DATE '2024-01-01' = '2024-01-01'", "true"),
        ("2 IN (1, '2', 2.5)", "true"),
        ("2 BETWEEN '1' AND 2.5", "true"),
        ("DATE '2024-01-01' = TRUE", "error"),
        ("'x' = 1", "error"),
    ]);
}

#[test]
fn casts() {
    check(&[
        ("'1.5'::INT", "2"),
        ("-1.5::INT", "-2"),
        ("5.555::NUMBER(10,2)", "5.56"),
        ("123456::NUMBER(5,2)", "error"),
        ("'abcd'::VARCHAR(2)", "error"),
        ("TRY_CAST('abcd' AS VARCHAR(2))", "NULL"),
        ("TRY_CAST('12345' AS NUMBER(3,0))", "NULL"),
        ("TRY_CAST(1 AS VARCHAR)", "error"),
        ("1.10::VARCHAR", "1.1"),
        ("1e20::FLOAT::VARCHAR", "1e+20"),
        ("TRUE::INT", "1"),
        ("0.1::BOOLEAN", "true"),
        ("5::TIME", "error"),
        ("1::OBJECT", "error"),
        ("PARSE_JSON('null')::INT", "NULL"),
    ]);
}

#[test]
fn conversion() {
    check(&[
        ("TO_NUMBER('12.3456')", "12"),
        ("TO_NUMBER('98.76546', 10, 1)", "98.8"),
        ("TO_NUMBER('98.76546', 10, 8)", "98.76546000"),
        ("TO_DECIMAL('12.3456', '99.9999', 9, 5)", "12.34560"),
        ("TO_NUMBER('$12.34', '$99.99', 4, 2)", "12.34"),
        ("TRY_TO_NUMBER('a')", "NULL"),
        ("TO_NUMBER('a')", "error"),
        ("TO_NUMBER('1', 39, 0)", "error"),
        ("TO_DOUBLE('1.5')", "1.5"),
        ("TRY_TO_DOUBLE('x')", "NULL"),
        ("TO_BOOLEAN('yes')", "true"),
        ("TO_BOOLEAN(0)", "false"),
        ("TO_BOOLEAN('maybe')", "error"),
        ("TRY_TO_BOOLEAN('maybe')", "NULL"),
        ("TO_VARCHAR(TO_BINARY('snow', 'UTF-8'), 'HEX')", "736E6F77"),
        ("TO_VARCHAR(TO_BINARY('SNOW', 'UTF-8'), 'BASE64')", "U05PVw=="),
        ("TO_BINARY('zz')", "error"),
        ("TRY_TO_BINARY('zz')", "NULL"),
        ("TO_VARCHAR(DATE '2013-04-05', 'mon dd, yyyy')", "Apr 05, 2013"),
    ]);
}

#[test]
fn choices() {
    check(&[
        ("IFF(TRUE, 1, 2.5)", "1.0"),
        ("IFF(NULL, 'a', 'b')", "b"),
        ("IFF(TRUE, 1, 1/0)", "1.000000"),
        ("NVL(NULL, 'x')", "x"),
        ("NVL2('a', 'b', 'c')", "b"),
        ("COALESCE(NULL, NULL, 3)", "3"),
        ("NULLIF(1, 1)", "NULL"),
        ("ZEROIFNULL(NULL)", "0"),
        ("NULLIFZERO(0.0)", "NULL"),
        ("DECODE(NULL, 1, 'one', NULL, 'null')", "null"),
        ("DECODE(3, 1, 'one', 2, 'two')", "NULL"),
        ("EQUAL_NULL(NULL, NULL)", "true"),
        ("GREATEST(1, 3, 0, 4)", "4"),
        ("GREATEST(1, NULL)", "NULL"),
        ("LEAST_IGNORE_NULLS(2, NULL, 1.5)", "1.5"),
        ("BOOLAND(0, NULL)", "false"),
        ("BOOLOR(3, NULL)", "true"),
        ("BOOLXOR(2, 0)", "true"),
        ("BOOLNOT(-3.79)", "false"),
        ("REGR_VALX(NULL, 10)", "NULL"),
        ("REGR_VALY(1, 10)", "1"),
        ("DIV0(1, 0)", "0.000000"),
        ("DIV0NULL(1, NULL)", "0.000000"),
    ]);
}

#[test]
fn functions_of_numbers() {
    check(&[
        ("ABS(-1.50)", "1.5"),
        ("SIGN(-1.35e-10)", "-1"),
        ("CEIL(135.135)", "136"),
        ("CEIL(135.135, -2)", "200"),
        ("CEIL(-975.975, 2)", "-975.97"),
        ("FLOOR(-975.975, 1)", "-976.0"),
        ("ROUND(135.135, 1)", "135.1"),
        ("ROUND(-975.975, -1)", "-980"),
        ("ROUND(2.5, 0, 'HALF_TO_EVEN')", "2"),
        ("ROUND(-2.5)", "-3"),
        ("TRUNC(-975.975, -1)", "-970"),
        ("TRUNC(DATE '2024-05-15', 'month')", "2024-05-01"),
        ("MOD(5.5, 2)", "1.5"),
        ("SQRT(-1)", "error"),
        ("CBRT(27)", "3"),
        ("SQUARE(3.15)", "9.9225"),
        ("LN(0)", "error"),
        ("LOG(10, 100)", "2"),
        ("FACTORIAL(5)", "120"),
        ("FACTORIAL(34)", "error"),
        ("WIDTH_BUCKET(290000.00, 200000, 600000, 4)", "1"),
        ("WIDTH_BUCKET(600000, 200000, 600000, 4)", "5"),
        ("ROUND(HAVERSINE(40.7127, -74.0059, 34.0500, -118.2500), 6)", "3936.385096"),
        ("BITAND(11, 24)", "8"),
        ("BITNOT(5)", "-6"),
        ("BITSHIFTLEFT(16384, 1)", "32768"),
        ("BITSHIFTRIGHT(-8, 1)", "-4"),
        ("GETBIT(11, 3)", "1"),
        ("BITXOR(X'BCBC', X'EEFF')", "5243"),
        ("BITAND(X'1010', X'11001010', 'LEFT')", "00001010"),
        ("BITOR(X'BCBC', X'ABCDABCD', 'RIGHT')", "BFFDABCD"),
        ("BITAND(X'1010', X'11001010')", "error"),
    ]);
}
