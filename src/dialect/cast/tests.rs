use datafusion::arrow::array::{Float64Array, Int64Array, StringArray};
use proptest::prelude::*;

use super::number::{fixed_of_float, fixed_of_text, float_of_fixed};
use super::*;

fn strings(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn shown(array: &ArrayRef, to: SqlType, misfit: Misfit) -> Result<Vec<String>> {
    let session = SessionParameters::default();
    let cast = cast(array, &Target::from(to), &session, misfit)?;
    let text = text_column(&cast, &session)?;
    Ok(text.iter().map(|value| value.unwrap_or("NULL").to_owned()).collect())
}

fn number(precision: u8, scale: u8) -> SqlType {
    SqlType::Number { precision, scale }
}

#[test]
fn numbers_out_of_text_are_rounded_half_away_from_zero() {
    let texts = strings(&["1.5", "-1.5", " 2 ", "1e3", "+.45", "12.", "1.49999999999999999999999999"]);
    assert_eq!(shown(&texts, number(38, 0), Misfit::Error).unwrap(), ["2", "-2", "2", "1000", "0", "12", "1"]);
    let wanted = ["1.5", "-1.5", "2.0", "1000.0", "0.5", "12.0", "1.5"];
    assert_eq!(shown(&texts, number(38, 1), Misfit::Error).unwrap(), wanted);
    let bad = strings(&["a", "", ".", "1 2", "1e", "0x10", "1e99", "99999"]);
    assert_eq!(shown(&bad, number(4, 0), Misfit::Null).unwrap(), ["NULL"; 8]);
    let message = shown(&strings(&["a"]), number(38, 0), Misfit::Error).unwrap_err().to_string();
    assert!(message.contains("numeric value 'a' is not recognized"), "{message}");
}

#[test]
fn text_that_is_too_long_is_an_error() {
    let texts = strings(&["abc", "été"]);
    assert_eq!(shown(&texts, SqlType::Varchar(Some(3)), Misfit::Error).unwrap(), ["abc", "été"]);
    assert!(shown(&texts, SqlType::Varchar(Some(2)), Misfit::Error).is_err());
    assert_eq!(shown(&texts, SqlType::Varchar(Some(2)), Misfit::Null).unwrap(), ["NULL", "NULL"]);
}

#[test]
fn booleans_are_words_and_numbers() {
    let words = strings(&["True", "t", "YES", "y", "on", "1", "FALSE", "f", "no", "N", "off", "0"]);
    let wanted = [["true"; 6], ["false"; 6]].concat();
    assert_eq!(shown(&words, SqlType::Boolean, Misfit::Error).unwrap(), wanted);
    assert!(shown(&strings(&["2"]), SqlType::Boolean, Misfit::Error).is_err());
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![0, 1, -7]));
    assert_eq!(shown(&numbers, SqlType::Boolean, Misfit::Error).unwrap(), ["false", "true", "true"]);
}

#[test]
fn floats_and_their_texts() {
    let texts = strings(&["NaN", "inf", "-INF", "1e5", "-0.1"]);
    assert_eq!(shown(&texts, SqlType::Float, Misfit::Error).unwrap(), ["NaN", "inf", "-inf", "100000", "-0.1"]);
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![2.5, -2.5, 1e30, 0.1]));
    let wanted = ["3", "-3", "1000000000000000000000000000000", "0"];
    assert_eq!(shown(&floats, number(38, 0), Misfit::Error).unwrap(), wanted);
    assert_eq!(shown(&floats, number(3, 1), Misfit::Null).unwrap(), ["2.5", "-2.5", "NULL", "0.1"]);
}

#[test]
fn dates_and_timestamps_keep_the_wall_clock() {
    let texts = strings(&["2024-01-31 10:00:00.123456"]);
    let session = SessionParameters::default();
    let ntz = cast(&texts, &SqlType::TimestampNtz.into(), &session, Misfit::Error).unwrap();
    assert_eq!(shown(&ntz, SqlType::Date, Misfit::Error).unwrap(), ["2024-01-31"]);
    assert_eq!(shown(&ntz, SqlType::Time, Misfit::Error).unwrap(), ["10:00:00"]);
    let seconds = Target { fraction: 0, ..SqlType::TimestampNtz.into() };
    let cut = cast(&texts, &seconds, &session, Misfit::Error).unwrap();
    assert_eq!(shown(&cut, SqlType::TEXT, Misfit::Error).unwrap(), ["2024-01-31 10:00:00.000"]);
    assert!(shown(&ntz, number(38, 0), Misfit::Error).is_err());
}

proptest! {
    #[test]
    fn every_number_is_read_back_from_its_text(value in any::<i64>(), scale in 0_u8..=18) {
        let text = i128::from(value) ;
        let shown = datafusion::common::ScalarValue::Decimal128(Some(text), 38, scale as i8).to_array().unwrap();
        let shown = text_column(&shown, &SessionParameters::default()).unwrap();
        prop_assert_eq!(fixed_of_text(shown.value(0), scale), Some(text));
    }

    #[test]
    fn floats_of_whole_numbers_are_exact(value in -(1_i64 << 53)..(1_i64 << 53)) {
        prop_assert_eq!(fixed_of_float(value as f64, 0), Some(i128::from(value)));
        prop_assert_eq!(float_of_fixed(i128::from(value), 0), value as f64);
    }

    #[test]
    fn any_text_is_read_without_panic(text in "\\PC*", scale in 0_u8..=37) {
        let _ = fixed_of_text(&text, scale);
        let _ = number::float_of_text(&text);
    }
}
