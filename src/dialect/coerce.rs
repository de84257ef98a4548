//! The type in which values of two types meet: for a comparison, and for one result column (CASE, COALESCE, UNION, IN). It
//! knows types only; casts are put into plans by `analyze`.
//!
//! Text gives way to everything, so `'1' = 1` compares numbers and `IFF(b, 'a', 1)` fails to read `a`; VARIANT gives way to
//! every other type in a comparison and takes in every other type in a result.

use super::types::{MAX_PRECISION, SqlType};

/// Digits after the point that a text or VARIANT keeps when it is compared with a number.
const COMPARED_SCALE: u8 = 12;

/// Digits after the point that a text keeps when it stands with numbers.
const TEXT_SCALE: u8 = 5;

/// The NUMBER that holds the values of two.
pub fn wider((p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> SqlType {
    let scale = s1.max(s2);
    let leading = p1.saturating_sub(s1).max(p2.saturating_sub(s2));
    SqlType::Number { precision: (leading + scale).clamp(1, MAX_PRECISION), scale }
}

/// The later of two timestamp types: NTZ, then LTZ, then TZ.
fn later(a: SqlType, b: SqlType) -> Option<SqlType> {
    const ORDER: [SqlType; 4] = [SqlType::Date, SqlType::TimestampNtz, SqlType::TimestampLtz, SqlType::TimestampTz];
    let at = |kind| ORDER.iter().position(|other| *other == kind);
    Some(ORDER[at(a)?.max(at(b)?)])
}

/// The type of one column of results that come in two types; none where Snowflake has no such type.
pub fn common(a: SqlType, b: SqlType) -> Option<SqlType> {
    use SqlType::{Array, Binary, Boolean, Float, Null, Number, Object, Varchar, Variant};
    Some(match (a, b) {
        (Null, other) | (other, Null) => other,
        (Number { precision: p1, scale: s1 }, Number { precision: p2, scale: s2 }) => wider((p1, s1), (p2, s2)),
        (Varchar(_), Varchar(_)) => SqlType::TEXT,
        (a, b) if a == b => a,
        (Number { .. }, Float) | (Float, Number { .. }) => Float,
        (Variant, _) | (_, Variant) => Variant,
        (Object | Array, _) | (_, Object | Array) => return None,
        (Varchar(_), Number { .. }) | (Number { .. }, Varchar(_)) => {
            let own = if let Number { precision, scale } = a { (precision, scale) } else { b.digits()? };
            wider(own, (MAX_PRECISION, own.1.max(TEXT_SCALE)))
        }
        (Varchar(_), Binary) | (Binary, Varchar(_)) => return None,
        (Varchar(_), other) | (other, Varchar(_)) => other,
        (Boolean, Number { .. } | Float) => b,
        (Number { .. } | Float, Boolean) => a,
        (a, b) => return later(a, b),
    })
}

/// The type in which two values are compared; none where they cannot be.
pub fn comparison(a: SqlType, b: SqlType) -> Option<SqlType> {
    use SqlType::{Array, Boolean, Float, Number, Object, TimestampTz, Varchar, Variant};
    Some(match (a, b) {
        (Varchar(_) | Variant, Number { scale, .. }) | (Number { scale, .. }, Varchar(_) | Variant) => {
            SqlType::Number { precision: MAX_PRECISION, scale: scale.max(COMPARED_SCALE) }
        }
        (Variant | Object | Array, Variant | Object | Array) => Variant,
        (Variant, other) | (other, Variant) => comparison(other, other)?,
        (Boolean, Number { .. } | Float) | (Number { .. } | Float, Boolean) => Boolean,
        (a, b) => match common(a, b)? {
            // Two instants are equal whatever their offsets.
            TimestampTz => SqlType::TimestampLtz,
            kind => kind,
        },
    })
}

impl SqlType {
    /// The precision and scale of a NUMBER.
    fn digits(self) -> Option<(u8, u8)> {
        match self {
            Self::Number { precision, scale } => Some((precision, scale)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SqlType::{Boolean, Date, Float, Null, Number, TimestampLtz, TimestampNtz, TimestampTz, Variant};

    fn number(precision: u8, scale: u8) -> SqlType {
        Number { precision, scale }
    }

    #[test]
    fn results_of_two_types() {
        assert_eq!(common(number(3, 1), number(5, 0)), Some(number(6, 1)));
        assert_eq!(common(number(38, 0), number(3, 2)), Some(number(38, 2)));
        assert_eq!(common(number(3, 1), Float), Some(Float));
        assert_eq!(common(Null, Date), Some(Date));
        assert_eq!(common(Date, TimestampNtz), Some(TimestampNtz));
        assert_eq!(common(TimestampLtz, TimestampNtz), Some(TimestampLtz));
        assert_eq!(common(SqlType::TEXT, Date), Some(Date));
        assert_eq!(common(SqlType::TEXT, number(3, 1)), Some(number(38, 5)));
        assert_eq!(common(Variant, number(3, 1)), Some(Variant));
        assert_eq!(common(Date, number(3, 1)), None);
        assert_eq!(common(SqlType::Array, SqlType::Object), None);
    }

    #[test]
    fn comparisons_of_two_types() {
        assert_eq!(comparison(SqlType::TEXT, number(38, 0)), Some(number(38, 12)));
        assert_eq!(comparison(Variant, SqlType::TEXT), Some(SqlType::TEXT));
        assert_eq!(comparison(Variant, Boolean), Some(Boolean));
        assert_eq!(comparison(TimestampTz, TimestampTz), Some(TimestampLtz));
        assert_eq!(comparison(Date, SqlType::TEXT), Some(Date));
        assert_eq!(comparison(Date, Boolean), None);
    }
}
