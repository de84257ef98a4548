//! Bytes as text and back: hexadecimal and Base64, each with a TRY_ form that gives NULL for what is none.

use base64::Engine as _;
use base64::alphabet::Alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;

use super::Function;
use super::scalar::{Call, binaries, exact, gives_binary, gives_text, texts};

/// ENCRYPT_RAW and DECRYPT_RAW.
mod encryption;

/// COMPRESS and DECOMPRESS.
mod compression;

const FAMILY: &str = "binary";

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    let own = vec![
        exact(FAMILY, &["hex_encode"], 1..=2, gives_text, hex_encode),
        exact(FAMILY, &["hex_decode_string"], 1..=1, gives_text, |call| decoded_text(call, hex_bytes, false)),
        exact(FAMILY, &["hex_decode_binary"], 1..=1, gives_binary, |call| decoded_bytes(call, hex_bytes, false)),
        exact(FAMILY, &["try_hex_decode_string"], 1..=1, gives_text, |call| decoded_text(call, hex_bytes, true)),
        exact(FAMILY, &["try_hex_decode_binary"], 1..=1, gives_binary, |call| decoded_bytes(call, hex_bytes, true)),
        exact(FAMILY, &["base64_encode"], 1..=3, gives_text, base64_encode),
        exact(FAMILY, &["base64_decode_string"], 1..=2, gives_text, |call| decoded_text(call, base64_bytes, false)),
        exact(FAMILY, &["base64_decode_binary"], 1..=2, gives_binary, |call| decoded_bytes(call, base64_bytes, false)),
        exact(FAMILY, &["try_base64_decode_string"], 1..=2, gives_text, |call| decoded_text(call, base64_bytes, true)),
        exact(FAMILY, &["try_base64_decode_binary"], 1..=2, gives_binary, |call| {
            decoded_bytes(call, base64_bytes, true)
        }),
    ];
    [own, encryption::functions(), compression::functions()].concat()
}

fn hex_encode(call: &Call<'_>) -> Result<ArrayRef> {
    let bytes = call.bytes(0)?;
    let case = if call.len() > 1 { Some(call.integers(1)?) } else { None };
    texts(call.rows, |row, out| {
        let case = case.as_ref().map_or(Some(1), |case| case.get(row));
        let (Some(bytes), Some(case)) = (bytes.get(row), case) else { return Ok(false) };
        match case {
            1 => out.push_str(&hex::encode_upper(bytes)),
            0 => out.push_str(&hex::encode(bytes)),
            other => return call.fail(format!("case {other} is neither 0 nor 1")),
        }
        Ok(true)
    })
}

fn hex_bytes(text: &str, _: Option<&str>) -> Result<Vec<u8>, String> {
    hex::decode(text).map_err(|_| format!("'{text}' is not a legal hex-encoded string"))
}

/// The standard alphabet with its last characters and padding replaced by up to three given ones.
fn base64_engine(own: Option<&str>) -> Result<(GeneralPurpose, char), String> {
    let Some(own) = own.filter(|own| !own.is_empty()) else { return Ok((STANDARD, '=')) };
    let mut letters: Vec<char> = base64::alphabet::STANDARD.as_str().chars().collect();
    let own: Vec<char> = own.chars().collect();
    if own.len() > 3 || !own.iter().all(char::is_ascii) {
        return Err("the alphabet has more than three characters, or others than ASCII".to_owned());
    }
    letters.splice(62..62 + own.len().min(2), own.iter().copied().take(2));
    let alphabet: String = letters.into_iter().collect();
    let alphabet = Alphabet::new(&alphabet).map_err(|error| error.to_string())?;
    Ok((GeneralPurpose::new(&alphabet, GeneralPurposeConfig::new()), own.get(2).copied().unwrap_or('=')))
}

fn base64_bytes(text: &str, own: Option<&str>) -> Result<Vec<u8>, String> {
    let (engine, padding) = base64_engine(own)?;
    let clean: String =
        text.chars().filter(|c| !matches!(c, '\n' | '\r')).map(|c| if c == padding { '=' } else { c }).collect();
    engine.decode(clean).map_err(|_| format!("'{text}' is not a legal base64-encoded string"))
}

fn base64_encode(call: &Call<'_>) -> Result<ArrayRef> {
    let bytes = call.bytes(0)?;
    let width = if call.len() > 1 { Some(call.integers(1)?) } else { None };
    let alphabet = if call.len() > 2 { Some(call.texts(2)?) } else { None };
    texts(call.rows, |row, out| {
        let width = width.as_ref().map_or(Some(0), |width| width.get(row));
        let alphabet = alphabet.as_ref().map_or(Some(""), |alphabet| alphabet.get(row));
        let (Some(bytes), Some(width), Some(alphabet)) = (bytes.get(row), width, alphabet) else { return Ok(false) };
        let (engine, padding) = base64_engine(Some(alphabet)).or_else(|message| call.fail(message))?;
        let encoded = engine.encode(bytes);
        let width = usize::try_from(width).unwrap_or(0);
        for (index, letter) in encoded.chars().enumerate() {
            if width > 0 && index > 0 && index % width == 0 {
                out.push('\n');
            }
            out.push(if letter == '=' { padding } else { letter });
        }
        Ok(true)
    })
}

type Decode = fn(&str, Option<&str>) -> Result<Vec<u8>, String>;

fn decoded_bytes(call: &Call<'_>, decode: Decode, lenient: bool) -> Result<ArrayRef> {
    let text = call.texts(0)?;
    let own = if call.len() > 1 { Some(call.texts(1)?) } else { None };
    binaries(call.rows, |row, out| {
        let own = own.as_ref().map_or(Some(""), |own| own.get(row));
        let (Some(text), Some(own)) = (text.get(row), own) else { return Ok(false) };
        match decode(text, Some(own)) {
            Ok(bytes) => out.extend(bytes),
            Err(_) if lenient => return Ok(false),
            Err(message) => return call.fail(message),
        }
        Ok(true)
    })
}

fn decoded_text(call: &Call<'_>, decode: Decode, lenient: bool) -> Result<ArrayRef> {
    let text = call.texts(0)?;
    let own = if call.len() > 1 { Some(call.texts(1)?) } else { None };
    texts(call.rows, |row, out| {
        let own = own.as_ref().map_or(Some(""), |own| own.get(row));
        let (Some(text), Some(own)) = (text.get(row), own) else { return Ok(false) };
        let decoded = decode(text, Some(own))
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "the bytes are not UTF-8".to_owned()));
        match decoded {
            Ok(decoded) => out.push_str(&decoded),
            Err(_) if lenient => return Ok(false),
            Err(message) => return call.fail(message),
        }
        Ok(true)
    })
}
