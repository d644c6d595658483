//! Files of spans, a request at a time, within bounds.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use pitviper_ingest::Limits;
use pitviper_model::ResourceSpans;
use pitviper_model::Signal;
use pitviper_store::SpanFileReader;
use pitviper_wire::decode::{Decoded, json_cost, protobuf_cost, traces_from_json, traces_from_protobuf};

use super::super::MAX_MESSAGE_BYTES;
use super::super::export::grouped;

/// One request of a file.
pub(super) enum Item {
    /// Its spans, and how many were not fit to keep.
    Spans { batch: Vec<ResourceSpans>, rejected: u64 },
    /// A place that is not what it should be.
    Bad { place: String, why: String },
}

/// A file being read.
pub(super) enum SpanFile {
    /// OTLP/JSON; the line last read.
    Lines(BufReader<File>, u64),
    /// OTLP protobuf behind lengths; the message last read.
    Messages(BufReader<File>, u64),
    Parquet(Box<SpanFileReader>),
}

impl SpanFile {
    /// Opens a file and looks at its beginning to tell what it is.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let mut reader = BufReader::new(File::open(path)?);
        let begin = reader.fill_buf()?;
        if begin.starts_with(b"PAR1") {
            return Ok(Self::Parquet(Box::new(SpanFileReader::open(path)?)));
        }
        let is_json = begin.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        Ok(if is_json { Self::Lines(reader, 0) } else { Self::Messages(reader, 0) })
    }

    /// Passes over requests that are through already.
    pub(super) fn skip(&mut self, items: u64) -> anyhow::Result<()> {
        for _ in 0..items {
            let is_there = match self {
                Self::Lines(reader, number) => next_line(reader, number)?.is_some(),
                Self::Messages(reader, number) => next_message(reader, number)?.is_some(),
                Self::Parquet(reader) => reader.next().transpose()?.is_some(),
            };
            if !is_there {
                break;
            }
        }
        Ok(())
    }

    /// The next request; `None` at the end.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Item>> {
        Ok(match self {
            Self::Lines(reader, number) => next_line(reader, number)?.map(|line| {
                let place = format!("line {number}");
                decode(
                    place,
                    line,
                    |bytes| json_cost(Signal::Traces, bytes),
                    |bytes| traces_from_json(bytes).map_err(|error| error.to_string()),
                )
            }),
            Self::Messages(reader, number) => next_message(reader, number)?.map(|message| {
                let place = format!("message {number}");
                let read = |bytes: &[u8]| traces_from_protobuf(bytes).map_err(|error| error.to_string());
                decode(place, Some(message), |bytes| protobuf_cost(Signal::Traces, bytes), read)
            }),
            Self::Parquet(reader) => {
                reader.next().transpose()?.map(|spans| Item::Spans { batch: grouped(&spans), rejected: 0 })
            }
        })
    }
}

fn decode(
    place: String,
    bytes: Option<Vec<u8>>,
    cost: impl Fn(&[u8]) -> usize,
    read: impl Fn(&[u8]) -> Result<Decoded, String>,
) -> Item {
    let Some(bytes) = bytes else {
        return Item::Bad { place, why: format!("longer than {MAX_MESSAGE_BYTES} bytes") };
    };
    if cost(&bytes) > Limits::DEFAULT_BYTES_UNDER_WAY {
        let why = format!("takes more than {} bytes once decoded", Limits::DEFAULT_BYTES_UNDER_WAY);
        return Item::Bad { place, why };
    }
    match read(&bytes) {
        Ok(decoded) => Item::Spans { rejected: decoded.rejected.len() as u64, batch: decoded.batch },
        Err(why) => Item::Bad { place, why },
    }
}

/// The next line that is not blank; inside `None` when it is longer than the limit, and then passed over.
fn next_line(reader: &mut BufReader<File>, number: &mut u64) -> io::Result<Option<Option<Vec<u8>>>> {
    loop {
        let mut line = Vec::new();
        let limit = MAX_MESSAGE_BYTES as u64 + 1;
        if reader.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        *number += 1;
        if line.len() > MAX_MESSAGE_BYTES && line.last() != Some(&b'\n') {
            reader.skip_until(b'\n')?;
            return Ok(Some(None));
        }
        if !line.trim_ascii().is_empty() {
            return Ok(Some(Some(line)));
        }
    }
}

/// The next message. Behind a length that cannot be right nothing can be read, so that is an error.
fn next_message(reader: &mut BufReader<File>, number: &mut u64) -> anyhow::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    if reader.fill_buf()?.is_empty() {
        return Ok(None);
    }
    *number += 1;
    let context = || format!("message {number} is cut short");
    reader.read_exact(&mut length).with_context(context)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_MESSAGE_BYTES {
        bail!(
            "message {number} says it has {length} bytes, more than {MAX_MESSAGE_BYTES}; is this OTLP protobuf with \
             four bytes of length, big endian, before each request?"
        );
    }
    let mut message = Vec::new();
    if reader.by_ref().take(length as u64).read_to_end(&mut message)? < length {
        return Err(io::Error::from(ErrorKind::UnexpectedEof)).with_context(context);
    }
    Ok(Some(message))
}
