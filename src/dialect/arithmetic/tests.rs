use datafusion::arrow::array::Int64Array;
use proptest::prelude::*;

use super::*;

fn decimals(values: &[i128], precision: u8, scale: i8) -> ArrayRef {
    let array = Decimal128Array::from(values.to_vec());
    Arc::new(array.with_precision_and_scale(precision, scale).unwrap())
}

fn column(array: &ArrayRef) -> Operand<'_> {
    Operand { array, constant: false }
}

fn shown(operator: Operator, left: &ArrayRef, right: &ArrayRef) -> Result<Vec<String>> {
    let result = apply(operator, column(left), column(right), left.len())?;
    let result = result.as_primitive::<Decimal128Type>();
    Ok((0..result.len())
        .map(|row| if result.is_null(row) { "NULL".into() } else { result.value_as_string(row) })
        .collect())
}

#[test]
fn results_have_the_documented_scale() {
    assert_eq!(Operator::Add.result((10, 2), (5, 4)), (13, 4));
    assert_eq!(Operator::Multiply.result((4, 2), (2, 1)), (6, 3));
    assert_eq!(Operator::Multiply.result((13, 12), (13, 12)), (14, 12));
    assert_eq!(Operator::Multiply.result((1, 1), (13, 13)), (13, 13));
    assert_eq!(Operator::Divide.result((1, 0), (9, 0)), (7, 6));
    assert_eq!(Operator::Divide.result((10, 8), (4, 2)), (16, 12));
    assert_eq!(Operator::Divide.result((20, 14), (4, 2)), (22, 14));
    assert_eq!(Operator::Modulo.result((10, 2), (5, 4)), (12, 4));
}

#[test]
fn documented_examples() {
    let of = |value, precision, scale| decimals(&[value], precision, scale);
    let one = |operator, left, right| shown(operator, &left, &right).unwrap().remove(0);
    assert_eq!(one(Operator::Multiply, of(1001, 4, 2), of(11, 2, 1)), "11.011");
    assert_eq!(one(Operator::Multiply, of(10001, 5, 3), of(1, 3, 3)), "0.010001");
    assert_eq!(one(Operator::Multiply, of(1, 1, 1), of(1, 13, 13)), "0.0000000000000");
    assert_eq!(one(Operator::Divide, of(2, 1, 0), of(7, 1, 0)), "0.285714");
    assert_eq!(one(Operator::Divide, of(101, 3, 1), of(21, 2, 1)), "4.8095238");
    assert_eq!(one(Operator::Divide, of(10_000_000_001, 15, 10), of(3, 1, 0)), "0.333333333367");
    assert_eq!(one(Operator::Subtract, of(1, 1, 0), of(25, 2, 2)), "0.75");
    assert_eq!(one(Operator::Modulo, of(-45, 2, 1), of(-15, 3, 1)), "0.0");
    assert_eq!(one(Operator::Modulo, of(-7, 1, 0), of(3, 1, 0)), "-1");
}

#[test]
fn integers_do_not_wrap() {
    let big: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::MAX), None, Some(i64::MIN)]));
    assert_eq!(shown(Operator::Add, &big, &big).unwrap(), ["18446744073709551614", "NULL", "-18446744073709551616"]);
    let squares = ["85070591730234615847396907784232501249", "NULL", "85070591730234615865843651857942052864"];
    assert_eq!(shown(Operator::Multiply, &big, &big).unwrap(), squares);
}

#[test]
fn too_many_digits_and_zero_divisors_are_errors() {
    let most = decimals(&[LIMIT - 1], 38, 0);
    let error = |operator, left, right| shown(operator, left, right).unwrap_err().to_string();
    assert!(error(Operator::Add, &most, &most).contains("out of range"));
    assert!(error(Operator::Multiply, &most, &most).contains("out of range"));
    let zero = decimals(&[0], 1, 0);
    assert!(error(Operator::Divide, &most, &zero).contains("division by zero"));
    assert!(error(Operator::Modulo, &most, &zero).contains("division by zero"));
    let null: ArrayRef = Arc::new(Int64Array::from(vec![None]));
    assert_eq!(shown(Operator::Divide, &null, &zero).unwrap(), ["NULL"]);
}

/// The same by definition, in integers of any size: digits in base 10^9, as schoolbooks do.
fn oracle(operator: Operator, (a, s1): (i128, u8), (b, s2): (i128, u8), scale: u8) -> Option<i128> {
    let ten = |exponent: u8| i256::from_i128(10).wrapping_pow(u32::from(exponent));
    let (a, b) = (i256::from_i128(a), i256::from_i128(b));
    let (top, bottom) = match operator {
        Operator::Add => (a * ten(s2) + b * ten(s1), ten(s1 + s2)),
        Operator::Subtract => (a * ten(s2) - b * ten(s1), ten(s1 + s2)),
        Operator::Multiply => (a * b, ten(s1 + s2)),
        Operator::Divide => (a * ten(s2), b * ten(s1)),
        Operator::Modulo => ((a * ten(s2)) % (b * ten(s1)), ten(s1 + s2)),
    };
    let (top, bottom) = if bottom.is_negative() { (top.wrapping_neg(), bottom.wrapping_neg()) } else { (top, bottom) };
    let doubled = top * ten(scale) * i256::from_i128(2);
    let half_up = (doubled.wrapping_abs() + bottom) / (bottom * i256::from_i128(2));
    let value = if top.is_negative() { half_up.wrapping_neg() } else { half_up };
    value.to_i128().filter(|v| fits(*v))
}

fn number() -> impl Strategy<Value = (i128, u8)> {
    let size = prop_oneof![Just(1_i128), Just(1_000), Just(10_i128.pow(9)), Just(10_i128.pow(16))];
    (any::<i64>(), size, 0_u8..=12).prop_map(|(value, size, scale)| (i128::from(value) % size, scale))
}

proptest! {
    #[test]
    fn arithmetic_agrees_with_its_definition((a, s1) in number(), (b, s2) in number(), which in 0_usize..5) {
        use Operator::{Add, Divide, Modulo, Multiply, Subtract};
        let operator = [Add, Subtract, Multiply, Divide, Modulo][which];
        prop_assume!(b != 0 || !matches!(operator, Divide | Modulo));
        let (left, right) = (decimals(&[a], 38, s1 as i8), decimals(&[b], 38, s2 as i8));
        let (_, scale) = operator.result((38, s1), (38, s2));
        let wanted = oracle(operator, (a, s1), (b, s2), scale);
        let got = apply(operator, column(&left), column(&right), 1).ok().map(|v| v.as_primitive::<Decimal128Type>().value(0));
        prop_assert_eq!(got, wanted);
    }

    #[test]
    fn small_and_large_integers_agree(a in any::<i64>(), b in any::<i64>(), which in 0_usize..5) {
        use Operator::{Add, Divide, Modulo, Multiply, Subtract};
        let operator = [Add, Subtract, Multiply, Divide, Modulo][which];
        let small = |v: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![v])) };
        let large = |v: i64| decimals(&[i128::from(v)], 19, 0);
        let small = shown(operator, &small(a), &small(b)).ok();
        prop_assert_eq!(small, shown(operator, &large(a), &large(b)).ok());
    }
}
