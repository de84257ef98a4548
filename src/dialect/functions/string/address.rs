//! PARSE_IP and PARSE_URL: addresses taken apart into OBJECTs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;

use super::super::scalar::{Call, json_column, texts};
use crate::dialect::variant::write;

/// `PARSE_IP(text, 'INET' [, permissive])`.
pub(super) fn parse_ip(call: &Call<'_>) -> Result<ArrayRef> {
    let kind = call.texts(1)?;
    parsed(call, 2, |row, text| {
        let kind = kind.get(row)?;
        Some(if kind.eq_ignore_ascii_case("inet") {
            ip(text)
        } else {
            Err(format!("unknown type '{kind}', only INET is known"))
        })
    })
}

/// `PARSE_URL(text [, permissive])`.
pub(super) fn parse_url(call: &Call<'_>) -> Result<ArrayRef> {
    parsed(call, 1, |_, text| Some(url(text)))
}

/// Permissive calls give `{"error": …}` where the others fail.
fn parsed(
    call: &Call<'_>,
    permissive: usize,
    parse: impl Fn(usize, &str) -> Option<Result<String, String>>,
) -> Result<ArrayRef> {
    let text = call.texts(0)?;
    let permissive = if call.len() > permissive { Some(call.integers(permissive)?) } else { None };
    let json = texts(call.rows, |row, out| {
        let permissive = permissive.as_ref().map_or(Some(0), |permissive| permissive.get(row));
        let (Some(text), Some(permissive)) = (text.get(row), permissive) else { return Ok(false) };
        match parse(row, text) {
            None => return Ok(false),
            Some(Ok(json)) => out.push_str(&json),
            Some(Err(message)) if permissive != 0 => {
                out.push_str("{\"error\":");
                write::string(out, &message);
                out.push('}');
            }
            Some(Err(message)) => return call.fail(format!("'{text}': {message}")),
        }
        Ok(true)
    })?;
    json_column(call.returns, &json)
}

fn ip(text: &str) -> Result<String, String> {
    let (host, prefix) = match text.split_once('/') {
        Some((host, prefix)) => (host, Some(prefix.parse::<u32>().map_err(|_| "invalid network prefix".to_owned())?)),
        None => (text, None),
    };
    let address: IpAddr = host.parse().map_err(|_| "invalid IP address".to_owned())?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    if prefix.is_some_and(|prefix| prefix > bits) {
        return Err("invalid network prefix".to_owned());
    }
    let value = match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    };
    let hosts =
        prefix.map(
            |prefix| if prefix == 0 { u128::MAX >> (128 - bits) } else { (1_u128 << (bits - prefix)).wrapping_sub(1) },
        );
    let range = hosts.map(|hosts| (value & !hosts, value | hosts));
    Ok(ip_json(host, bits, value, range, prefix))
}

fn ip_json(host: &str, bits: u32, value: u128, range: Option<(u128, u128)>, prefix: Option<u32>) -> String {
    let mut out = String::from(if bits == 32 { "{\"family\":4" } else { "{\"family\":6" });
    if bits == 128 {
        let _ = write!(out, ",\"hex_ipv6\":\"{value:032X}\"");
        if let Some((start, end)) = range {
            let _ = write!(out, ",\"hex_ipv6_range_end\":\"{end:032X}\",\"hex_ipv6_range_start\":\"{start:032X}\"");
        }
    }
    out.push_str(",\"host\":");
    write::string(&mut out, host);
    let field = |shift: u32| value >> shift & 0xffff_ffff;
    let fields = if bits == 32 { [value, 0, 0, 0] } else { [field(96), field(64), field(32), field(0)] };
    let [a, b, c, d] = fields;
    let _ = write!(out, ",\"ip_fields\":[{a},{b},{c},{d}],\"ip_type\":\"inet\"");
    if bits == 32 {
        let _ = write!(out, ",\"ipv4\":{value}");
        if let Some((start, end)) = range {
            let _ = write!(out, ",\"ipv4_range_end\":{end},\"ipv4_range_start\":{start}");
        }
    }
    match prefix {
        Some(prefix) => drop(write!(out, ",\"netmask_prefix_length\":{prefix}")),
        None => out.push_str(",\"netmask_prefix_length\":null"),
    }
    out.push_str(",\"snowflake$type\":\"ip_address\"}");
    out
}

fn url(text: &str) -> Result<String, String> {
    let (scheme, rest) = text
        .split_once(':')
        .filter(|(scheme, _)| is_scheme(scheme))
        .ok_or_else(|| "scheme not specified".to_owned())?;
    let (rest, fragment) = cut(rest, '#');
    let (rest, query) = cut(rest, '?');
    let (host, path) = match rest.strip_prefix("//") {
        Some(rest) => cut(rest, '/'),
        None => ("", Some(rest)),
    };
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => (host, Some(port)),
        _ => (host, None),
    };
    let mut out = String::from("{");
    member(&mut out, "fragment", fragment);
    member(&mut out, "host", Some(host).filter(|host| !host.is_empty()));
    out.push_str(",\"parameters\":");
    parameters(&mut out, query);
    member(&mut out, "path", path);
    member(&mut out, "port", port);
    member(&mut out, "query", query);
    member(&mut out, "scheme", Some(scheme));
    out.push('}');
    Ok(out)
}

fn is_scheme(text: &str) -> bool {
    let mut bytes = text.bytes();
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic()) && bytes.all(rest)
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn member(out: &mut String, name: &str, value: Option<&str>) {
    if out.len() > 1 {
        out.push(',');
    }
    write::string(out, name);
    out.push(':');
    match value {
        Some(value) => write::string(out, value),
        None => out.push_str("null"),
    }
}

fn parameters(out: &mut String, query: Option<&str>) {
    let Some(query) = query.filter(|query| !query.is_empty()) else {
        out.push_str("null");
        return;
    };
    let pairs: BTreeMap<_, _> = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    out.push('{');
    let mut first = true;
    for (name, value) in pairs {
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        write::string(out, name);
        out.push(':');
        write::string(out, value);
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let wanted = r#"{"fragment":null,"host":"USER:PASS@EXAMPLE.INT","parameters":{"USER":"1"},"path":"HELLO.PHP","port":"4345","query":"USER=1","scheme":"http"}"#;
        assert_eq!(url("http://USER:PASS@EXAMPLE.INT:4345/HELLO.PHP?USER=1").unwrap(), wanted);
        let wanted = r#"{"fragment":null,"host":null,"parameters":null,"path":"abc@xyz.com","port":null,"query":null,"scheme":"mailto"}"#;
        assert_eq!(url("mailto:abc@xyz.com").unwrap(), wanted);
        assert_eq!(url("example.int/hello.php?user=12#nofragment"), Err("scheme not specified".to_owned()));
    }

    #[test]
    fn addresses() {
        let wanted = r#"{"family":4,"host":"192.168.242.188","ip_fields":[3232297660,0,0,0],"ip_type":"inet","ipv4":3232297660,"ipv4_range_end":3232297727,"ipv4_range_start":3232297472,"netmask_prefix_length":24,"snowflake$type":"ip_address"}"#;
        assert_eq!(ip("192.168.242.188/24").unwrap(), wanted);
        let wanted = r#"{"family":6,"hex_ipv6":"FE80000000000000020C29FFFE2C0429","hex_ipv6_range_end":"FE80000000000000FFFFFFFFFFFFFFFF","hex_ipv6_range_start":"FE800000000000000000000000000000","host":"fe80::20c:29ff:fe2c:429","ip_fields":[4269801472,0,34351615,4264297513],"ip_type":"inet","netmask_prefix_length":64,"snowflake$type":"ip_address"}"#;
        assert_eq!(ip("fe80::20c:29ff:fe2c:429/64").unwrap(), wanted);
        assert!(ip("192.168.242.188/33").is_err() && ip("1.2.3").is_err());
    }
}
