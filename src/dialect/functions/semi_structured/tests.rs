use crate::dialect::functions::testing::{fails, value};

/// Each expression and the text that it gives; the values are those of Snowflake's reference.
fn gives(cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        assert_eq!(value(expression), *expected, "{expression}");
    }
}

#[test]
fn json_is_parsed_and_printed() {
    gives(&[
        ("PARSE_JSON('{\"b\":1,\"a\":2}')", "{\"a\":2,\"b\":1}"),
        ("PARSE_JSON('')", "NULL"),
        ("PARSE_JSON(NULL)", "NULL"),
        ("PARSE_JSON('null')", "null"),
        ("TRY_PARSE_JSON('{ \"bad\" : \"json\", \"missing\" : TRUE, \"close_brace\": 10 ')", "NULL"),
        ("PARSE_JSON('{\"a\":1,\"a\":2}', 'd')", "{\"a\":2}"),
        ("CHECK_JSON('{\"Malformed -- Missing value\": }')", "misplaced }, pos 32"),
        ("CHECK_JSON('{}')", "NULL"),
        ("TO_JSON(PARSE_JSON('[1,,2e0]'))", "[1,undefined,2.000000000000000e+00]"),
        ("TO_JSON(NULL)", "NULL"),
        ("TO_JSON(TO_VARIANT('null'))", "\"null\""),
        ("TO_ARRAY(1)", "[1]"),
        ("TO_ARRAY(PARSE_JSON('[1]'))", "[1]"),
        ("JSON_EXTRACT_PATH_TEXT('{\"level_1\":{\"b\":\"x\"}}', 'level_1.b')", "x"),
    ]);
    assert!(fails("PARSE_JSON('{\"a\":1,\"a\":2}')").contains("duplicate object attribute \"a\""));
    assert!(fails("PARSE_JSON('[1')").contains("error parsing JSON"));
    assert!(fails("TO_OBJECT(PARSE_JSON('3'))").contains("OBJECT"));
}

#[test]
fn kinds_are_as_documented() {
    for (json, kind) in [
        ("null", "NULL_VALUE"),
        ("true", "BOOLEAN"),
        ("-17", "INTEGER"),
        ("123.12", "DECIMAL"),
        ("1.912e2", "DOUBLE"),
        ("\"Om ara pa ca na dhih\"  ", "VARCHAR"),
        ("[-1, 12, 289, 2188, false,]", "ARRAY"),
        ("{ \"x\" : \"abc\", \"y\" : false, \"z\": 10} ", "OBJECT"),
    ] {
        assert_eq!(value(&format!("TYPEOF(PARSE_JSON('{json}'))")), kind);
    }
    gives(&[
        ("TYPEOF(NULL)", "NULL"),
        ("IS_INTEGER(PARSE_JSON('1.5'))", "false"),
        ("IS_DECIMAL(PARSE_JSON('1'))", "true"),
        ("IS_DOUBLE(PARSE_JSON('1.5'))", "true"),
        ("IS_NULL_VALUE(PARSE_JSON('null'))", "true"),
        ("IS_NULL_VALUE(PARSE_JSON('{}'))", "false"),
        ("IS_NULL_VALUE(NULL)", "NULL"),
        ("STRIP_NULL_VALUE(PARSE_JSON('null'))", "NULL"),
        ("AS_INTEGER(PARSE_JSON('17'))", "17"),
        ("AS_INTEGER(PARSE_JSON('\"17\"'))", "NULL"),
        ("AS_DECIMAL(PARSE_JSON('17.257'), 6, 2)", "17.26"),
        ("AS_DOUBLE(PARSE_JSON('1.5'))", "1.5"),
        ("AS_VARCHAR(PARSE_JSON('\"x\"'))", "x"),
        ("AS_ARRAY(PARSE_JSON('{}'))", "NULL"),
        ("AS_OBJECT(PARSE_JSON('{}'))", "{}"),
    ]);
}

#[test]
fn access_finds_members_and_elements() {
    gives(&[
        ("GET(PARSE_JSON('[10,20]'), 1)", "20"),
        ("GET(PARSE_JSON('[10,20]'), 2)", "NULL"),
        ("GET(PARSE_JSON('{\"a\":null}'), 'a')", "null"),
        ("GET(PARSE_JSON('{\"aa\":1,\"aA\":2}'), 'Aa')", "NULL"),
        ("GET_IGNORE_CASE(TO_OBJECT(PARSE_JSON('{\"aa\":1, \"aA\":2, \"Aa\":3}')), 'aA')", "2"),
        ("GET_IGNORE_CASE(PARSE_JSON('{\"k\":1}'), 'K')", "1"),
        ("GET_PATH(PARSE_JSON('{\"a\":[{\"b c\":5}]}'), 'a[0][\"b c\"]')", "5"),
        ("GET_PATH(PARSE_JSON('{\"a\":1}'), 'b.c')", "NULL"),
    ]);
}

#[test]
fn arrays_are_made_of_arrays() {
    gives(&[
        ("ARRAY_CONSTRUCT(NULL, 'hello', 4, 5)", "[undefined,\"hello\",4,5]"),
        ("ARRAY_CONSTRUCT()", "[]"),
        ("ARRAY_CONSTRUCT_COMPACT(NULL, 'hello', 4, 5)", "[\"hello\",4,5]"),
        ("ARRAY_APPEND(ARRAY_CONSTRUCT(1, 2, 3), 'four')", "[1,2,3,\"four\"]"),
        ("ARRAY_PREPEND(ARRAY_CONSTRUCT(0, 1), 'hello')", "[\"hello\",0,1]"),
        ("ARRAY_CAT(ARRAY_CONSTRUCT(1, 2), ARRAY_CONSTRUCT(3, 4))", "[1,2,3,4]"),
        ("ARRAY_CAT(ARRAY_CONSTRUCT(1), NULL)", "NULL"),
        ("ARRAY_COMPACT(ARRAY_CONSTRUCT(10, NULL, 30))", "[10,30]"),
        ("ARRAY_FLATTEN(PARSE_JSON('[[[1,2],[3]],[[4],[5]]]'))", "[[1,2],[3],[4],[5]]"),
        ("ARRAY_FLATTEN(PARSE_JSON('[[1,2,3],,[5,6]]'))", "NULL"),
        ("ARRAY_GENERATE_RANGE(2, 5)", "[2,3,4]"),
        ("ARRAY_GENERATE_RANGE(25, 5, -10)", "[25,15]"),
        ("ARRAY_GENERATE_RANGE(5, 25, -10)", "[]"),
        ("ARRAY_INSERT(ARRAY_CONSTRUCT(0,1,2,3), 5, 'hello')", "[0,1,2,3,undefined,\"hello\"]"),
        ("ARRAY_INSERT(ARRAY_CONSTRUCT(0,1,2,3), -1, 'hello')", "[0,1,2,\"hello\",3]"),
        ("ARRAY_REMOVE_AT(ARRAY_CONSTRUCT(2, 5, 7), -1)", "[2,5]"),
        ("ARRAY_REMOVE_AT(ARRAY_CONSTRUCT(2, 5, 7), 10)", "[2,5,7]"),
        ("ARRAY_REVERSE(ARRAY_CONSTRUCT(1,2,3,4))", "[4,3,2,1]"),
        ("ARRAY_SIZE(ARRAY_CONSTRUCT(1, 2, NULL))", "3"),
        ("ARRAY_SIZE(PARSE_JSON('{}'))", "NULL"),
        ("ARRAY_SLICE(ARRAY_CONSTRUCT('foo','snow','flake','bar'), 1, 3)", "[\"snow\",\"flake\"]"),
        ("ARRAY_SLICE(ARRAY_CONSTRUCT(0,1,2,3,4,5,6), 3, -2)", "[3,4]"),
        ("ARRAY_SLICE(ARRAY_CONSTRUCT(0,1,2), 10, 12)", "[]"),
        ("ARRAY_SLICE(ARRAY_CONSTRUCT(0,1,2), NULL, 2)", "NULL"),
        ("ARRAY_SORT(PARSE_JSON('[20,null,0,,10]'))", "[0,10,20,null,undefined]"),
        ("ARRAY_SORT(PARSE_JSON('[20,null,0,,10]'), FALSE)", "[undefined,null,20,10,0]"),
        ("ARRAY_SORT(PARSE_JSON('[20,null,0,,10]'), TRUE, TRUE)", "[undefined,0,10,20,null]"),
        ("ARRAY_SORT(PARSE_JSON('[20,null,0,,10]'), FALSE, FALSE)", "[null,20,10,0,undefined]"),
        ("ARRAY_TO_STRING(PARSE_JSON('[1,null,\"a\",2.5]'), ', ')", "1, , a, 2.5"),
        ("ARRAY_MAX(PARSE_JSON('[20,0,,10,]'))", "20"),
        ("ARRAY_MIN(PARSE_JSON('[20,0,,10,]'))", "0"),
        ("ARRAY_MAX(ARRAY_CONSTRUCT())", "NULL"),
        (
            "ARRAYS_ZIP(ARRAY_CONSTRUCT(1), ARRAY_CONSTRUCT('a','b'))",
            "[{\"$1\":1,\"$2\":\"a\"},{\"$1\":null,\"$2\":\"b\"}]",
        ),
    ]);
    assert!(fails("ARRAY_FLATTEN(PARSE_JSON('[[1],4]'))").contains("not an array"));
    assert!(fails("ARRAY_APPEND('x', 1)").contains("cannot be VARCHAR"));
}

#[test]
fn arrays_are_compared_by_value() {
    gives(&[
        ("ARRAY_CONTAINS(TO_VARIANT('hello'), ARRAY_CONSTRUCT('hello', 'hi'))", "true"),
        ("ARRAY_CONTAINS(NULL, ARRAY_CONSTRUCT('hola', 'bonjour'))", "NULL"),
        ("ARRAY_CONTAINS(NULL, ARRAY_CONSTRUCT('hola', NULL))", "true"),
        ("ARRAY_POSITION(TO_VARIANT('hi'), ARRAY_CONSTRUCT('hello', 'hi'))", "1"),
        ("ARRAY_POSITION(ARRAY_CONSTRUCT('hello', 'hi'), TO_VARIANT('hello'))", "NULL"),
        ("ARRAY_REMOVE(PARSE_JSON('[1,5,5.00,5e0,\"5\",5,]'), 5)", "[1,\"5\",undefined]"),
        ("ARRAY_DISTINCT(ARRAY_CONSTRUCT('A','A','B',NULL,NULL))", "[\"A\",\"B\",undefined]"),
        ("ARRAY_EXCEPT(ARRAY_CONSTRUCT('A','B','B','B','C'), ARRAY_CONSTRUCT('B'))", "[\"A\",\"B\",\"B\",\"C\"]"),
        ("ARRAY_EXCEPT(ARRAY_CONSTRUCT('A',NULL,NULL), ARRAY_CONSTRUCT('B',NULL))", "[\"A\",undefined]"),
        ("ARRAY_INTERSECTION(ARRAY_CONSTRUCT('A','B','B','B','C'), ARRAY_CONSTRUCT('B','B'))", "[\"B\",\"B\"]"),
        ("ARRAYS_OVERLAP(ARRAY_CONSTRUCT('hello','aloha'), ARRAY_CONSTRUCT('hola','hello'))", "true"),
        ("ARRAYS_OVERLAP(ARRAY_CONSTRUCT(1,2,NULL), ARRAY_CONSTRUCT(3,NULL,5))", "true"),
        ("ARRAYS_OVERLAP(ARRAY_CONSTRUCT(1), ARRAY_CONSTRUCT(2))", "false"),
    ]);
    assert!(fails("ARRAY_CONTAINS('hello', ARRAY_CONSTRUCT('hello'))").contains("cannot be VARCHAR"));
}

#[test]
fn objects_are_made_of_objects() {
    gives(&[
        ("OBJECT_CONSTRUCT('b', 1, 'a', 'x', 'c', NULL, NULL, 2)", "{\"a\":\"x\",\"b\":1}"),
        ("OBJECT_CONSTRUCT('a', PARSE_JSON('null'))", "{\"a\":null}"),
        ("OBJECT_CONSTRUCT_KEEP_NULL('key_1', 'one', 'key_2', NULL, NULL, 'x')", "{\"key_1\":\"one\",\"key_2\":null}"),
        ("OBJECT_DELETE(OBJECT_CONSTRUCT('a', 1, 'b', 2, 'c', 3), 'a', 'b')", "{\"c\":3}"),
        ("OBJECT_PICK(OBJECT_CONSTRUCT('a', 1, 'b', 2, 'c', 3), ARRAY_CONSTRUCT('a', 'b'))", "{\"a\":1,\"b\":2}"),
        ("OBJECT_INSERT(OBJECT_CONSTRUCT('a', 1), 'b', 2)", "{\"a\":1,\"b\":2}"),
        ("OBJECT_INSERT(OBJECT_CONSTRUCT('a', 1), 'a', 2, TRUE)", "{\"a\":2}"),
        ("OBJECT_INSERT(OBJECT_CONSTRUCT('a', 1), 'b', NULL)", "{\"a\":1}"),
        ("OBJECT_KEYS(OBJECT_CONSTRUCT('b', 1, 'a', 2))", "[\"a\",\"b\"]"),
        ("ARRAYS_TO_OBJECT(ARRAY_CONSTRUCT('k1',NULL,'k3'), ARRAY_CONSTRUCT(1,2,NULL))", "{\"k1\":1,\"k3\":null}"),
    ]);
    assert!(fails("OBJECT_INSERT(OBJECT_CONSTRUCT('a', 1), 'a', 2)").contains("duplicate field key 'a'"));
    assert!(fails("OBJECT_CONSTRUCT('a')").contains("in pairs"));
}
