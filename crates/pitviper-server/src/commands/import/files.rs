//! Files of telemetry, a request at a time, within bounds.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use pitviper_ingest::Limits;
use pitviper_model::Signal;
use pitviper_store::{RecordFileReader, SpanFileReader};
use pitviper_wire::decode::{DecodeError, Decoded, Telemetry, json_cost, protobuf_cost};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::export::grouped;
use super::super::{Kind, MAX_MESSAGE_BYTES};

/// One request of a file.
pub(super) enum Item {
    /// What it holds, and how many of these were not fit to keep.
    Telemetry { telemetry: Telemetry, rejected: u64 },
    /// A place that is not what it should be.
    Bad { place: String, why: String },
}

/// A file being read.
pub(super) enum TelemetryFile {
    /// OTLP/JSON; the line last read.
    Lines(BufReader<File>, u64),
    /// OTLP protobuf behind lengths; the message last read, and what all of them hold.
    Messages(BufReader<File>, u64, Signal),
    /// Spans in Parquet.
    Spans(Box<SpanFileReader>),
    /// Log records or points of metrics in Parquet; the rows that were read and not handed over yet, and how many
    /// were.
    Records(Box<RecordFileReader>, std::vec::IntoIter<String>, u64),
}

impl TelemetryFile {
    /// Opens a file and looks at its beginning to tell what it is; of protobuf, it holds the kind.
    pub(super) fn open(path: &Path, kind: Kind) -> anyhow::Result<Self> {
        let mut reader = BufReader::new(File::open(path)?);
        let begin = reader.fill_buf()?;
        if begin.starts_with(b"PAR1") {
            return Ok(match RecordFileReader::open(path)? {
                Some(reader) => Self::Records(Box::new(reader), Vec::new().into_iter(), 0),
                None => Self::Spans(Box::new(SpanFileReader::open(path)?)),
            });
        }
        let is_json = begin.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        Ok(if is_json { Self::Lines(reader, 0) } else { Self::Messages(reader, 0, signal_of(kind)) })
    }

    /// Passes over requests that are through already.
    pub(super) fn skip(&mut self, items: u64) -> anyhow::Result<()> {
        for _ in 0..items {
            let is_there = match self {
                Self::Lines(reader, number) => next_line(reader, number)?.is_some(),
                Self::Messages(reader, number, _) => next_message(reader, number)?.is_some(),
                Self::Spans(reader) => reader.next().transpose()?.is_some(),
                Self::Records(reader, rows, number) => next_rows(reader, rows, number)?.is_some(),
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
            Self::Lines(reader, number) => {
                next_line(reader, number)?.map(|line| decode_json(format!("line {number}"), line))
            }
            Self::Messages(reader, number, signal) => next_message(reader, number)?.map(|message| {
                let place = format!("message {number}");
                let cost = |bytes: &[u8]| protobuf_cost(*signal, bytes);
                decode(place, Some(message), cost, |bytes| Telemetry::from_protobuf(*signal, bytes))
            }),
            Self::Spans(reader) => reader.next().transpose()?.map(|spans| {
                let telemetry = Decoded { batch: grouped(&spans), rejected: Vec::new() }.into();
                Item::Telemetry { telemetry, rejected: 0 }
            }),
            Self::Records(reader, rows, number) => next_rows(reader, rows, number)?,
        })
    }
}

fn signal_of(kind: Kind) -> Signal {
    match kind {
        Kind::Spans => Signal::Traces,
        Kind::Logs => Signal::Logs,
        Kind::Metrics => Signal::Metrics,
    }
}

/// The next rows of a file of records as one request, or the next alone when it cannot be read.
fn next_rows(
    reader: &mut RecordFileReader,
    rows: &mut std::vec::IntoIter<String>,
    number: &mut u64,
) -> anyhow::Result<Option<Item>> {
    if rows.as_slice().is_empty() {
        match reader.next().transpose()? {
            Some(more) => *rows = more.into_iter(),
            None => return Ok(None),
        }
    }
    let mut together: Option<Item> = None;
    while let Some(row) = rows.as_slice().first() {
        let next = decode_json(format!("row {}", *number + 1), Some(row.clone().into_bytes()));
        together = match (together, next) {
            (None, first) => Some(first),
            (Some(mut before), next) => {
                // What does not go with those before begins the next request.
                if !before.take_in(next) {
                    return Ok(Some(before));
                }
                Some(before)
            }
        };
        rows.next();
        *number += 1;
        if matches!(together, Some(Item::Bad { .. })) {
            break;
        }
    }
    Ok(together)
}

impl Item {
    /// Adds what another holds; false when it is not of the same kind.
    fn take_in(&mut self, other: Self) -> bool {
        let (Self::Telemetry { telemetry, rejected }, Self::Telemetry { telemetry: more, rejected: others }) =
            (self, other)
        else {
            return false;
        };
        match (telemetry, more) {
            (Telemetry::Traces(own), Telemetry::Traces(more)) => own.batch.extend(more.batch),
            (Telemetry::Metrics(own), Telemetry::Metrics(more)) => own.batch.extend(more.batch),
            (Telemetry::Logs(own), Telemetry::Logs(more)) => own.batch.extend(more.batch),
            _ => return false,
        }
        *rejected += others;
        true
    }
}

/// Which request a document is, told from its only key.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    resource_logs: Option<IgnoredAny>,
    resource_metrics: Option<IgnoredAny>,
}

/// A request in OTLP/JSON of whichever signal.
fn decode_json(place: String, bytes: Option<Vec<u8>>) -> Item {
    let signal = match bytes.as_deref().map(serde_json::from_slice::<Document>) {
        Some(Ok(Document { resource_logs: Some(_), .. })) => Signal::Logs,
        Some(Ok(Document { resource_metrics: Some(_), .. })) => Signal::Metrics,
        // What is no document is said when it is read.
        _ => Signal::Traces,
    };
    decode(place, bytes, |bytes| json_cost(signal, bytes), |bytes| Telemetry::from_json(signal, bytes))
}

fn decode(
    place: String,
    bytes: Option<Vec<u8>>,
    cost: impl Fn(&[u8]) -> usize,
    read: impl Fn(&[u8]) -> Result<Telemetry, DecodeError>,
) -> Item {
    let Some(bytes) = bytes else {
        return Item::Bad { place, why: format!("longer than {MAX_MESSAGE_BYTES} bytes") };
    };
    if cost(&bytes) > Limits::DEFAULT_BYTES_UNDER_WAY {
        let why = format!("takes more than {} bytes once decoded", Limits::DEFAULT_BYTES_UNDER_WAY);
        return Item::Bad { place, why };
    }
    match read(&bytes) {
        Ok(mut telemetry) => {
            let rejected = match &mut telemetry {
                Telemetry::Traces(decoded) => std::mem::take(&mut decoded.rejected),
                Telemetry::Metrics(decoded) => std::mem::take(&mut decoded.rejected),
                Telemetry::Logs(decoded) => std::mem::take(&mut decoded.rejected),
            };
            Item::Telemetry { telemetry, rejected: rejected.len() as u64 }
        }
        Err(why) => Item::Bad { place, why: why.to_string() },
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
