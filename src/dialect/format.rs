//! Date and time formats: Snowflake's format models and AUTO detection, for reading and writing dates, times and
//! timestamps. It is pure text and calendar; which column is cast to what is decided by casts and functions.

/// Days, weeks and months of the proleptic Gregorian calendar.
pub mod civil;

/// Time zones: names, offsets, local times.
pub mod zone;

/// Format models such as `YYYY-MM-DD HH24:MI:SS`.
pub mod model;

/// Values out of text.
pub mod read;

/// Values as text.
pub mod write;

/// Format models of numbers, such as `$9,999.00`.
pub mod number;

/// Whole columns.
pub mod column;

pub use civil::Moment;
pub use column::{text_column, timestamp_format};
pub use model::Model;
pub use number::NumberModel;
pub use read::{read_date, read_time, read_timestamp};
