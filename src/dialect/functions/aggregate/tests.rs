use crate::dialect::functions::testing::query;

/// The rows of `SELECT {select} FROM (VALUES {values}) AS T(A, B)`, columns joined by `|`.
fn over(select: &str, values: &str) -> Vec<String> {
    let rows = query(&format!("SELECT {select} FROM (VALUES {values}) AS T(A, B)"));
    rows.unwrap_or_else(|message| panic!("{select}: {message}")).into_iter().map(|row| row.join("|")).collect()
}

/// The documented table `aggr(k int, v decimal(10,2))` of the reference pages, as K and V.
const AGGR: &str = "(1, 10.00), (2, 10.00), (2, 20.00), (2, 25.00), (2, 30.00)";

fn one(select: &str, values: &str) -> String {
    over(select, values).remove(0)
}

#[test]
fn texts_and_arrays_are_collected_without_nulls() {
    let rows = "('b', 2), ('a', 1), (NULL, 5), ('b', 3)";
    assert_eq!(one("LISTAGG(A, ',')", rows), "b,a,b");
    assert_eq!(one("LISTAGG(DISTINCT A, ',') WITHIN GROUP (ORDER BY A DESC)", rows), "b,a");
    assert_eq!(one("LISTAGG(A)", "(CAST(NULL AS VARCHAR), 1)"), "");
    assert_eq!(one("LISTAGG(B, '|')", rows), "2|1|5|3");
    assert_eq!(one("ARRAY_AGG(A)", rows), r#"["b","a","b"]"#);
    assert_eq!(one("ARRAY_AGG(B ORDER BY B DESC)", rows), "[5,3,2,1]");
    assert_eq!(one("ARRAY_SORT(ARRAY_AGG(DISTINCT A))", rows), r#"["a","b"]"#);
    assert_eq!(one("ARRAY_AGG(A)", "(CAST(NULL AS VARCHAR), 1)"), "[]");
    assert_eq!(one("ARRAY_UNIQUE_AGG(B)", "('x', 2), ('x', 1), ('x', 2), ('x', NULL)"), "[2,1]");
    assert_eq!(one("ARRAY_UNION_AGG(PARSE_JSON(A))", "('[1,1,2]', 1), ('[1,2,3]', 1)"), "[1,1,2,3]");
    assert_eq!(one("OBJECT_AGG(A, B)", "('b', 1), ('a', 2), (NULL, 3), ('c', NULL)"), r#"{"a":2,"b":1}"#);
}

#[test]
fn ordered_collection_survives_grouping_in_parts() {
    let rows: Vec<String> = (0..3000).map(|n| format!("('{}', {})", n % 2, (n * 7919) % 3000)).collect();
    let query = "A, ARRAY_AGG(B ORDER BY B)";
    let got = query_grouped(query, &rows.join(", "));
    let expected = |parity: i32| {
        let mut numbers: Vec<i32> = (0..3000).filter(|n| n % 2 == parity).map(|n| (n * 7919) % 3000).collect();
        numbers.sort_unstable();
        format!("{parity}|[{}]", numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    };
    assert_eq!(got, [expected(0), expected(1)]);
}

fn query_grouped(select: &str, values: &str) -> Vec<String> {
    let sql = format!("SELECT {select} FROM (VALUES {values}) AS T(A, B) GROUP BY A ORDER BY A");
    let rows = query(&sql).unwrap_or_else(|message| panic!("{select}: {message}"));
    rows.into_iter().map(|row| row.join("|")).collect()
}

#[test]
fn variances_of_numbers_are_exact() {
    assert_eq!(query_grouped("A, VARIANCE(B), VAR_POP(B)", AGGR), ["1|NULL|0.000000", "2|72.916667|54.687500"]);
    assert_eq!(query_grouped("A, VARIANCE(B)", "(2, 10), (2, 20), (2, 25), (2, 30)"), ["2|72.916667"]);
    assert_eq!(one("STDDEV_POP(A)", "(6, 1), (10, 1), (14, 1)"), "3.26598637474194");
    assert_eq!(one("STDDEV(A)", "(6, 1), (10, 1), (14, 1)"), "4.0");
    assert_eq!(one("STDDEV(CAST(A AS DOUBLE))", "(6, 1), (10, 1), (14, 1)"), "4.0");
}

#[test]
fn pairs_are_correlated() {
    let rows = "(10.00, NULL), (10.00, 11.00), (20.00, 22.00), (25.00, NULL), (30.00, 35.00)";
    assert_eq!(&one("REGR_SLOPE(A, B)", rows)[..15], "0.8314087759815");
    assert_eq!(&one("CORR(A, B)", rows)[..12], "0.9988445981");
    assert_eq!(one("REGR_COUNT(A, B)", rows), "3");
    assert_eq!(one("REGR_AVGY(A, B)", rows), "20.0");
    assert_eq!(one("COVAR_POP(A, B)", rows), "80.0");
    assert_eq!(one("COVAR_SAMP(A, B)", rows), "120.0");
    assert_eq!(one("REGR_SLOPE(A, B)", "(1.0, NULL)"), "NULL");
}

#[test]
fn percentiles_are_between_values_or_values() {
    assert_eq!(query_grouped("A, MEDIAN(B)", AGGR), ["1|10.000", "2|22.500"]);
    assert_eq!(one("MEDIAN(A)", "(1, 1), (2, 1)"), "1.500");
    assert_eq!(one("PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY B)", AGGR), "10.000");
    assert_eq!(one("PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY B DESC)", AGGR), "25.000");
    assert_eq!(one("PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY B)", AGGR), "20");
    assert_eq!(one("PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY A)", "('c', 1), ('a', 1), ('b', 1)"), "b");
    assert_eq!(one("APPROX_PERCENTILE(B, 0.5)", AGGR), "20.0");
    assert_eq!(one("KURTOSIS(A)", "(1, 1), (2, 1), (2, 1), (2, 1), (2, 1)").parse::<f64>().unwrap().round(), 5.0);
    assert_eq!(one("SKEW(A)", "(1, 1), (2, 1)"), "NULL");
}

#[test]
fn extremes_modes_and_bits() {
    let staff = "(1001, 10000), (1020, 9000), (900, 15000), (2000, NULL), (2010, 15000)";
    assert_eq!(one("MAX_BY(A, B), MIN_BY(A, B), MAX_BY(A, B, 3)", staff), "900|1020|[900,2010,1001]");
    assert_eq!(one("MODE(A)", "(1, 1), (2, 1), (2, 1), (NULL, 1), (NULL, 1), (NULL, 1)"), "2");
    assert_eq!(one("ANY_VALUE(A)", "(NULL, 1), (7, 1)"), "7");
    assert_eq!(one("COUNT_IF(A > 1)", "(1, 1), (2, 1), (3, 1), (NULL, 1)"), "2");
    assert_eq!(one("BOOLAND_AGG(A > 0), BOOLOR_AGG(A > 2), BOOLXOR_AGG(A > 2)", "(1, 1), (3, 1)"), "true|true|true");
    assert_eq!(one("BITAND_AGG(A), BITOR_AGG(A), BITXOR_AGG(A)", "(15, 1), (26, 1), (NULL, 1)"), "10|31|21");
    assert_eq!(one("BITAND_AGG(A)", "(CAST(NULL AS INT), 1)"), "NULL");
    assert_eq!(
        one("BITMAP_COUNT(BITMAP_CONSTRUCT_AGG(BITMAP_BIT_POSITION(A)))", "(1, 1), (2, 1), (2, 1), (32768, 1)"),
        "3"
    );
    assert_eq!(one("BITMAP_BUCKET_NUMBER(32768), BITMAP_BUCKET_NUMBER(32769)", "(1, 1)"), "1|2");
    assert_eq!(one("APPROX_COUNT_DISTINCT(A)", "(1, 1), (1, 1), (2, 1), (NULL, 1)"), "2");
    assert_eq!(one("HLL_ESTIMATE(HLL_ACCUMULATE(A))", "(1, 1), (1, 1), (2, 1)"), "2");
    assert_eq!(one("APPROX_TOP_K(A, 2)", "('x', 1), ('y', 1), ('y', 1), ('z', 1)"), r#"[["y",2],["x",1]]"#);
}

#[test]
fn windows_of_any_frame_are_computed() {
    let sliding = "ARRAY_AGG(A) OVER (ORDER BY A ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)";
    assert_eq!(over(sliding, "(1, 1), (2, 1), (3, 1)"), ["[1]", "[1,2]", "[2,3]"]);
    let all = "LISTAGG(A, '') WITHIN GROUP (ORDER BY A) OVER (PARTITION BY B)";
    assert_eq!(over(all, "(2, 1), (1, 1), (3, 1)"), ["123", "123", "123"]);
    let whole = "MEDIAN(A) OVER (PARTITION BY B)";
    assert_eq!(over(whole, "(1, 1), (2, 1), (4, 1)"), ["2.000", "2.000", "2.000"]);
}

#[test]
fn collected_rows_come_in_the_order_of_a_union() {
    let parts: Vec<String> = (0..8).map(|n| format!("SELECT {n} AS A")).collect();
    let sql = format!("SELECT ARRAY_AGG(A), LISTAGG(A) FROM ({})", parts.join(" UNION ALL "));
    assert_eq!(query(&sql).unwrap(), [["[0,1,2,3,4,5,6,7]", "01234567"]]);
    let sql = format!("SELECT A % 2 AS B, ARRAY_AGG(A) FROM ({}) GROUP BY 1 ORDER BY 1", parts.join(" UNION ALL "));
    assert_eq!(query(&sql).unwrap(), [["0", "[0,2,4,6]"], ["1", "[1,3,5,7]"]]);
}
