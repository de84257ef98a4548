//! COMPRESS and DECOMPRESS with SNAPPY, ZLIB and ZSTD. Compressed bytes may differ from Snowflake's where the method leaves
//! the compressor a choice; they decompress to the same value everywhere.

use std::io::{Read, Write};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;

use super::super::scalar::{Call, binaries, exact, gives_binary, gives_text, texts};
use super::super::{Fidelity, Function};

const FAMILY: &str = "compression";

/// The most bytes that a value decompresses to.
const LONGEST: u64 = 134_217_728;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    let mut compress = exact(FAMILY, &["compress"], 2..=2, gives_binary, compress);
    compress.fidelity =
        Fidelity::Approximate("the compressed bytes may differ from Snowflake's, not what they decompress to");
    vec![
        compress,
        exact(FAMILY, &["decompress_binary"], 2..=2, gives_binary, decompress_binary),
        exact(FAMILY, &["decompress_string"], 2..=2, gives_text, decompress_string),
    ]
}

enum Method {
    Snappy,
    Zlib(u32),
    Zstd(i32),
}

impl Method {
    /// `SNAPPY`, `ZLIB`, `ZSTD`, the last two with a level in parentheses.
    fn parse(text: &str) -> Result<Self, String> {
        let unknown = || format!("the method '{text}' is not one of SNAPPY, ZLIB and ZSTD");
        let upper = text.trim().to_ascii_uppercase();
        let (name, level) = match upper.split_once('(') {
            Some((name, rest)) => {
                let level = rest.strip_suffix(')').and_then(|level| level.trim().parse::<i32>().ok());
                (name.trim(), Some(level.ok_or_else(unknown)?))
            }
            None => (upper.as_str(), None),
        };
        match (name, level) {
            ("SNAPPY", None) => Ok(Self::Snappy),
            ("ZLIB", None) => Ok(Self::Zlib(6)),
            ("ZLIB", Some(level @ 0..=9)) => Ok(Self::Zlib(level.unsigned_abs())),
            ("ZSTD", level) if (1..=22).contains(&level.unwrap_or(3)) => Ok(Self::Zstd(level.unwrap_or(3))),
            _ => Err(unknown()),
        }
    }

    fn compress(&self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Snappy => snap::raw::Encoder::new().compress_vec(bytes).map_err(std::io::Error::other),
            Self::Zlib(level) => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(*level));
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Self::Zstd(level) => zstd::bulk::compress(bytes, *level),
        }
    }

    fn decompress(&self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        match self {
            Self::Snappy => {
                let length = snap::raw::decompress_len(bytes).map_err(std::io::Error::other)?;
                if length as u64 > LONGEST {
                    return Err(std::io::Error::other("the value is too long"));
                }
                return snap::raw::Decoder::new().decompress_vec(bytes).map_err(std::io::Error::other);
            }
            Self::Zlib(_) => flate2::read::ZlibDecoder::new(bytes).take(LONGEST).read_to_end(&mut out)?,
            Self::Zstd(_) => zstd::stream::read::Decoder::new(bytes)?.take(LONGEST).read_to_end(&mut out)?,
        };
        Ok(out)
    }
}

fn compress(call: &Call<'_>) -> Result<ArrayRef> {
    let (bytes, methods) = (call.bytes(0)?, call.texts(1)?);
    binaries(call.rows, |row, out| {
        let (Some(bytes), Some(method)) = (bytes.get(row), methods.get(row)) else { return Ok(false) };
        let method = Method::parse(method).or_else(|message| call.fail(message))?;
        out.extend(method.compress(bytes).or_else(|error| call.fail(error))?);
        Ok(true)
    })
}

fn decompressed(call: &Call<'_>, bytes: &[u8], method: &str) -> Result<Vec<u8>> {
    let method = Method::parse(method).or_else(|message| call.fail(message))?;
    method.decompress(bytes).or_else(|_| call.fail("the bytes are not compressed by this method"))
}

fn decompress_binary(call: &Call<'_>) -> Result<ArrayRef> {
    let (bytes, methods) = (call.bytes(0)?, call.texts(1)?);
    binaries(call.rows, |row, out| {
        let (Some(bytes), Some(method)) = (bytes.get(row), methods.get(row)) else { return Ok(false) };
        out.extend(decompressed(call, bytes, method)?);
        Ok(true)
    })
}

fn decompress_string(call: &Call<'_>) -> Result<ArrayRef> {
    let (bytes, methods) = (call.bytes(0)?, call.texts(1)?);
    texts(call.rows, |row, out| {
        let (Some(bytes), Some(method)) = (bytes.get(row), methods.get(row)) else { return Ok(false) };
        match String::from_utf8(decompressed(call, bytes, method)?) {
            Ok(text) => out.push_str(&text),
            Err(_) => return call.fail("the bytes are not UTF-8"),
        }
        Ok(true)
    })
}
