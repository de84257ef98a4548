//! The values of VARIANT, OBJECT and ARRAY: one canonical text each, read in place without building a tree. It knows
//! JSON and Snowflake's additions to it, not the functions that SQL calls; those are in `functions/semi_structured.rs`.
//!
//! The text is compact JSON with every object's keys sorted and unique, so that equal values are equal texts, plus what
//! JSON lacks and Snowflake has:
//!
//! | text | value |
//! | --- | --- |
//! | `null` | JSON null; an SQL NULL is a null in the Arrow array |
//! | `undefined` | an element of an array that was an SQL NULL, or was left out as in `[1,,2]` |
//! | `12`, `12.5` | a fixed-point number, exact, without leading or trailing zeros, so `1.0` rests as `1` |
//! | `1.25e1` | a DOUBLE: always with an exponent |
//! | `F"NaN"`, `F"Infinity"`, `F"-Infinity"` | the other DOUBLEs |
//! | `D"2024-01-31"`, `T"10:00:00.000000000"` | a DATE, a TIME |
//! | `N"2024-01-31 10:00:00.000000000"` | a TIMESTAMP_NTZ |
//! | `L"2024-01-31 10:00:00.000000000 +0100"`, `Z"…"` | a TIMESTAMP_LTZ, a TIMESTAMP_TZ |
//! | `B"48656C6C6F"` | a BINARY, in hexadecimal |
//!
//! A tag is one upper-case letter, with which no JSON value starts, before a JSON string. Tags stay inside the engine:
//! whatever leaves it as text goes through `print`, which writes what Snowflake shows.

/// Reading the canonical text in place: kinds, elements, members.
pub mod text;

/// Writing canonical text.
pub mod write;

/// Numbers, exact and binary.
pub mod number;

/// What leaves the engine.
pub mod print;

/// JSON text → canonical text.
pub mod parse;

/// Paths such as `a.b[0]` and what they lead to.
pub mod path;

/// Values as Arrow arrays.
pub mod array;

/// SQL values ↔ VARIANT.
pub mod convert;

/// Equality and order.
pub mod key;
