//! What a session remembers and functions ask for: time zone, formats, week rules and the pinned clock. It travels in
//! DataFusion's configuration, so that a function finds it in its arguments and holds no state of its own.

use std::sync::LazyLock;

use datafusion::common::config::{ConfigExtension, ConfigOptions};
use datafusion::common::extensions_options;

extensions_options! {
    /// Session parameters, under their Snowflake names in lower case, and the pinned clock.
    pub struct SessionParameters {
        /// Zone of TIMESTAMP_LTZ values and of the clock.
        pub timezone: String, default = "UTC".to_string()
        /// First day of the week: 0 as in ISO (Monday), 1 Monday to 7 Sunday.
        pub week_start: u8, default = 0
        /// 0: ISO weeks; 1: week 1 holds January 1.
        pub week_of_year_policy: u8, default = 0
        /// `TIMESTAMP_NTZ`, `TIMESTAMP_LTZ` or `TIMESTAMP_TZ`: what plain TIMESTAMP means.
        pub timestamp_type_mapping: String, default = "TIMESTAMP_NTZ".to_string()
        /// How dates are shown as text.
        pub date_output_format: String, default = "YYYY-MM-DD".to_string()
        /// How dates are read from text.
        pub date_input_format: String, default = "AUTO".to_string()
        /// How times are shown as text.
        pub time_output_format: String, default = "HH24:MI:SS".to_string()
        /// How times are read from text.
        pub time_input_format: String, default = "AUTO".to_string()
        /// How timestamps of all kinds are shown as text.
        pub timestamp_output_format: String, default = "YYYY-MM-DD HH24:MI:SS.FF3 TZHTZM".to_string()
        /// How TIMESTAMP_NTZ is shown as text.
        pub timestamp_ntz_output_format: String, default = "YYYY-MM-DD HH24:MI:SS.FF3".to_string()
        /// How TIMESTAMP_LTZ is shown as text; empty means `timestamp_output_format`.
        pub timestamp_ltz_output_format: String, default = String::new()
        /// How TIMESTAMP_TZ is shown as text; empty means `timestamp_output_format`.
        pub timestamp_tz_output_format: String, default = String::new()
        /// How timestamps are read from text.
        pub timestamp_input_format: String, default = "AUTO".to_string()
        /// `HEX`, `BASE64` or `UTF8`: how binary is shown as text.
        pub binary_output_format: String, default = "HEX".to_string()
        /// How binary is read from text.
        pub binary_input_format: String, default = "HEX".to_string()
        /// The database in use.
        pub database: String, default = "LOCAL".to_string()
        /// The schema in use.
        pub schema: String, default = "PUBLIC".to_string()
        /// The role in use, if one was named.
        pub role: String, default = String::new()
        /// The warehouse in use, if one was named.
        pub warehouse: String, default = String::new()
        /// The instant that every clock function gives, in nanoseconds since 1970 UTC.
        pub now: u64, default = 0
    }
}

impl ConfigExtension for SessionParameters {
    const PREFIX: &'static str = "snowflake";
}

static DEFAULT: LazyLock<SessionParameters> = LazyLock::new(SessionParameters::default);

impl SessionParameters {
    /// The parameters of the session that a function runs in.
    pub fn of(options: &ConfigOptions) -> &Self {
        options.extensions.get::<Self>().unwrap_or(&DEFAULT)
    }
}
