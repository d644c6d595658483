//! Sums of metrics: a file beside a merged segment of them, so that a question about days need not
//! read every ten seconds.
//!
//! A segment's rows are added up in a few [`Level`]s: without names by ten seconds, the minute, ten minutes,
//! the hour and the day; with names by the hour and the day. They hold nothing that the segment does not:
//! what a question counts is the same whether it reads rows or sums, and a damaged or missing file
//! costs time only. Nothing of it stays in memory but its directory: a chunk, the sums of one level,
//! service and part of time, is small and quickly unpacked.
//!
//! Layout: the chunks; the directory, a zstd frame; then, little-endian, offset and length of the
//! directory as `u64`, its CRC-32, and the magic. The directory lists services in order: name, first row
//! in the segment, rows, chunks; of a chunk its level, first bucket, last bucket, offset, length and
//! CRC-32. A chunk is the length of a zstd frame as `u32`, that frame, and another. The first lists keys:
//! environment, version, name, kind, whether root, and their rows by bucket, as [`abridge`] leaves
//! them. The second has the histograms of these rows: of each bucket how many are empty before it and
//! its count, in one byte where both are below 16. All other numbers in frames are varints.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use arrow::record_batch::RecordBatch;
use rustc_hash::FxHashMap;
use zstd::bulk::Decompressor;

use super::packing::{MAX_UNPACKED_BYTES, get, get_text, put, put_text, unpack, unzigzag, zigzag};
use crate::schema::{Counted, METRIC_BUCKET_NS, SpanMetricsRows, abridge};
use crate::store::Red;

const MAGIC: &[u8; 4] = b"PVM1";
const FOOTER_BYTES: u64 = 8 + 8 + 4 + 4;
const ZSTD_LEVEL: i32 = 3;
const MINUTE_NS: i64 = 60 * 1_000_000_000;
const HOUR_NS: i64 = 60 * MINUTE_NS;
/// The first bucket of histograms is told by its distance to this one: ten microseconds.
const FIRST_INDEX: i16 = 425;
/// Buckets of a level that lie in one chunk.
const PART_BUCKETS: i64 = 120;

/// How a segment's rows are added up. The numbers are those in directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Level {
    /// Without names, by the minute.
    ServicesByMinute = 0,
    /// Without names, by ten minutes.
    ServicesByTenMinutes = 1,
    /// Without names, by the hour.
    ServicesByHour = 2,
    /// With names, by the hour.
    NamesByHour = 3,
    /// Without names, by ten seconds, as the rows of what is new.
    ServicesByTenSeconds = 4,
    /// Without names, by the day.
    ServicesByDay = 5,
    /// With names, by the day.
    NamesByDay = 6,
}

impl Level {
    /// Without names, the narrowest buckets first.
    const SERVICES: [Self; 5] = [
        Self::ServicesByTenSeconds,
        Self::ServicesByMinute,
        Self::ServicesByTenMinutes,
        Self::ServicesByHour,
        Self::ServicesByDay,
    ];
    /// With names, the narrowest buckets first.
    const NAMES: [Self; 2] = [Self::NamesByHour, Self::NamesByDay];

    fn from_number(number: u64) -> Option<Self> {
        Self::SERVICES.into_iter().chain(Self::NAMES).find(|level| *level as u64 == number)
    }

    /// The width of its buckets in nanoseconds.
    pub(super) fn width_ns(self) -> i64 {
        match self {
            Self::ServicesByTenSeconds => METRIC_BUCKET_NS,
            Self::ServicesByMinute => MINUTE_NS,
            Self::ServicesByTenMinutes => 10 * MINUTE_NS,
            Self::ServicesByHour | Self::NamesByHour => HOUR_NS,
            Self::ServicesByDay | Self::NamesByDay => 24 * HOUR_NS,
        }
    }
}

/// Where the sums of a segment's file lie.
pub(super) fn path(segment: &Path) -> PathBuf {
    segment.with_extension("sums")
}

/// What a sum counts, besides its service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SumKey {
    pub(super) environment: String,
    pub(super) version: String,
    /// Empty in levels without names.
    pub(super) name: String,
    /// As the schema's column has it.
    pub(super) kind: u8,
    pub(super) is_root: bool,
}

/// Who looks at sums.
pub(super) trait SeeSums {
    /// Whether to see the sums of this key, which come next.
    fn wants(&mut self, key: &SumKey) -> bool;
    fn see(&mut self, bucket_start_ns: i64, counted: &Counted<'_>);
}

/// The sums of one level and key by bucket.
#[derive(Debug)]
struct Series {
    level: Level,
    key: SumKey,
    sums: BTreeMap<i64, Red>,
}

/// What goes into a chunk: the sums of each key by bucket.
type ChunkSums = BTreeMap<SumKey, Vec<(i64, Red)>>;

/// Adds up the rows of a segment, service after service.
pub(super) struct SumsBuilder {
    /// The width of the narrowest buckets of the segment.
    bucket_ns: i64,
    rows: u64,
    service: Option<Service>,
    /// Of the service.
    series: Vec<Series>,
    places: FxHashMap<(Level, SumKey), usize>,
    done: Vec<Service>,
    chunks: Vec<u8>,
}

/// What the directory says of a service.
#[derive(Debug)]
struct Service {
    name: String,
    first_row: u64,
    rows: u64,
    chunks: Vec<Chunk>,
}

#[derive(Debug)]
struct Chunk {
    level: Level,
    /// The first and the last bucket.
    starts: (i64, i64),
    offset: u64,
    length: u64,
    crc: u32,
}

impl SumsBuilder {
    pub(super) fn new(bucket_ns: i64) -> Self {
        let (places, series) = (FxHashMap::default(), Vec::new());
        Self { bucket_ns, rows: 0, service: None, series, places, done: Vec::new(), chunks: Vec::new() }
    }

    /// Adds rows, which go on in the order of services.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let rows = SpanMetricsRows::new(batch);
        // Rows of one key follow each other, and need one look-up.
        let mut last: Option<(usize, [usize; 2])> = None;
        for row in 0..rows.len() {
            let service = rows.service.value(row);
            if self.service.as_ref().is_none_or(|open| open.name != service) {
                self.close()?;
                last = None;
                let name = service.to_owned();
                self.service = Some(Service { name, first_row: self.rows, rows: 0, chunks: Vec::new() });
            }
            self.rows += 1;
            let places = match last {
                Some((before, places)) if rows.is_same_key(before, row) => places,
                _ => {
                    let named = SumKey {
                        environment: rows.environment.value(row).to_owned(),
                        version: rows.version.value(row).to_owned(),
                        name: rows.name.value(row).to_owned(),
                        kind: rows.kind(row) as u8,
                        is_root: rows.is_root(row),
                    };
                    let nameless = SumKey { name: String::new(), ..named.clone() };
                    [self.place(Level::SERVICES[0], nameless), self.place(Level::NAMES[0], named)]
                }
            };
            last = Some((row, places));
            let counted = rows.counted(row);
            for place in places {
                let series = &mut self.series[place];
                let start = floor(rows.bucket_start_ns[row], series.level.width_ns());
                counted.add_to(series.sums.entry(start).or_default());
            }
        }
        Ok(())
    }

    fn place(&mut self, level: Level, key: SumKey) -> usize {
        *self.places.entry((level, key.clone())).or_insert_with(|| {
            self.series.push(Series { level, key, sums: BTreeMap::new() });
            self.series.len() - 1
        })
    }

    /// Ends the sums of a service.
    fn close(&mut self) -> io::Result<()> {
        let Some(mut service) = self.service.take() else { return Ok(()) };
        service.rows = self.rows - service.first_row;
        self.places.clear();
        let mut all = std::mem::take(&mut self.series);
        for levels in [&Level::SERVICES[..], &Level::NAMES] {
            add_up(&mut all, levels);
        }
        // Buckets narrower than those of the rows would say the same twice.
        all.retain(|series| series.level.width_ns() >= self.bucket_ns);
        let mut parts: BTreeMap<(Level, i64), ChunkSums> = BTreeMap::new();
        for Series { level, key, sums } in all {
            let width = level.width_ns().saturating_mul(PART_BUCKETS);
            for (start, red) in sums {
                let part = parts.entry((level, start.div_euclid(width))).or_default();
                part.entry(key.clone()).or_default().push((start, red));
            }
        }
        for ((level, _), keys) in parts {
            let starts = || keys.values().flatten().map(|(start, _)| *start);
            let starts = (starts().min().unwrap_or_default(), starts().max().unwrap_or_default());
            let packed = put_chunk(&keys, starts.0)?;
            service.chunks.push(Chunk {
                level,
                starts,
                offset: self.chunks.len() as u64,
                length: packed.len() as u64,
                crc: crc32fast::hash(&packed),
            });
            self.chunks.extend(packed);
        }
        self.done.push(service);
        Ok(())
    }

    /// Writes the sums and makes them durable; their size in bytes.
    pub(super) fn write(mut self, path: &Path) -> io::Result<u64> {
        self.close()?;
        let mut directory = Vec::new();
        put(&mut directory, self.rows);
        put(&mut directory, self.done.len() as u64);
        for service in &self.done {
            put_text(&mut directory, &service.name);
            [service.first_row, service.rows, service.chunks.len() as u64]
                .into_iter()
                .for_each(|number| put(&mut directory, number));
            for chunk in &service.chunks {
                put(&mut directory, chunk.level as u64);
                put(&mut directory, zigzag(chunk.starts.0));
                put(&mut directory, zigzag(chunk.starts.1));
                [chunk.offset, chunk.length, u64::from(chunk.crc)]
                    .into_iter()
                    .for_each(|number| put(&mut directory, number));
            }
        }
        let directory = zstd::bulk::compress(&directory, ZSTD_LEVEL)?;
        let mut out = self.chunks;
        let offset = out.len() as u64;
        out.extend_from_slice(&directory);
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&(directory.len() as u64).to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&directory).to_le_bytes());
        out.extend_from_slice(MAGIC);
        let mut file = File::create(path)?;
        file.write_all(&out)?;
        file.sync_all()?;
        Ok(out.len() as u64)
    }
}

/// Appends the sums of the wider levels to those of the first.
fn add_up(all: &mut Vec<Series>, levels: &[Level]) {
    let mut finer: Vec<usize> = (0..all.len()).filter(|&at| all[at].level == levels[0]).collect();
    for &level in &levels[1..] {
        let first = all.len();
        for at in finer {
            let mut sums = BTreeMap::<i64, Red>::new();
            for (start, red) in &all[at].sums {
                sums.entry(floor(*start, level.width_ns())).or_default().merge(red);
            }
            all.push(Series { level, key: all[at].key.clone(), sums });
        }
        finer = (first..all.len()).collect();
    }
}

fn put_chunk(keys: &ChunkSums, first_start_ns: i64) -> io::Result<Vec<u8>> {
    let (mut rows, mut histograms) = (Vec::new(), Vec::new());
    put(&mut rows, keys.len() as u64);
    for (key, sums) in keys {
        [&key.environment, &key.version, &key.name].into_iter().for_each(|text| put_text(&mut rows, text));
        put(&mut rows, u64::from(key.kind));
        put(&mut rows, u64::from(key.is_root));
        put(&mut rows, sums.len() as u64);
        let mut before = first_start_ns;
        for (start, red) in sums {
            let (numbers, buckets) = abridge(red);
            put(&mut rows, (start - before).cast_unsigned());
            before = *start;
            numbers.into_iter().for_each(|number| put(&mut rows, number));
            put(&mut rows, buckets.len() as u64);
            let mut next = i64::from(FIRST_INDEX);
            for &(index, count) in buckets {
                put_bucket(&mut histograms, zigzag(i64::from(index) - next), count);
                next = i64::from(index) + 1;
            }
        }
    }
    let frame = zstd::bulk::compress(&rows, ZSTD_LEVEL)?;
    let length = u32::try_from(frame.len()).map_err(|_| io::Error::other("a chunk of over 4 GiB"))?;
    let mut out = length.to_le_bytes().to_vec();
    out.extend(frame);
    out.extend(zstd::bulk::compress(&histograms, ZSTD_LEVEL)?);
    Ok(out)
}

/// Appends a bucket: in one byte when its gap and count are small, else a zero and both.
fn put_bucket(out: &mut Vec<u8>, gap: u64, count: u64) {
    match (gap, count) {
        (0..16, 1..16) => out.push((gap as u8) << 4 | count as u8),
        _ => {
            out.push(0);
            put(out, gap);
            put(out, count);
        }
    }
}

#[inline]
fn get_bucket(bytes: &mut &[u8]) -> Option<(u64, u64)> {
    let (&byte, rest) = bytes.split_first()?;
    *bytes = rest;
    if byte & 15 > 0 { Some((u64::from(byte >> 4), u64::from(byte & 15))) } else { Some((get(bytes)?, get(bytes)?)) }
}

/// The sums of one segment: a file, of which the directory is in memory.
#[derive(Debug)]
pub(super) struct Sums {
    file: File,
    /// By name.
    services: Vec<Service>,
}

/// Unpacked sums of one service, level and part of time.
#[derive(Debug)]
pub(super) struct SumChunk<'a> {
    pub(super) service: &'a str,
    pub(super) level: Level,
    first_start_ns: i64,
    rows: Vec<u8>,
    histograms: Vec<u8>,
}

impl Sums {
    /// Opens the sums of a segment with so many rows.
    ///
    /// # Errors
    /// When the file is not there, is damaged, or belongs to other rows.
    pub(super) fn open(path: &Path, rows: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut footer = [0; FOOTER_BYTES as usize];
        let at = length.checked_sub(FOOTER_BYTES).ok_or_else(|| damaged("it is too short"))?;
        file.read_exact_at(&mut footer, at)?;
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| footer[at + byte]));
        let crc = u32::from_le_bytes(std::array::from_fn(|byte| footer[16 + byte]));
        if &footer[20..] != MAGIC || number(0).checked_add(number(8)) != Some(at) {
            return Err(damaged("it does not end as sums do"));
        }
        let packed = read_part(&file, number(0), number(8), crc)?;
        let bytes = unpack(&mut Decompressor::new()?, &packed)?;
        let (of_rows, services) = read_directory(&bytes).ok_or_else(|| damaged("its directory ends too early"))?;
        if of_rows != rows {
            return Err(damaged("it belongs to another segment"));
        }
        Ok(Self { file, services })
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// When a part of it is damaged.
    pub(super) fn verify(&self) -> io::Result<()> {
        for chunk in self.services.iter().flat_map(|service| &service.chunks) {
            read_part(&self.file, chunk.offset, chunk.length, chunk.crc)?;
        }
        Ok(())
    }

    /// Memory of the directory, in bytes.
    pub(super) fn memory_size(&self) -> usize {
        let chunks: usize = self.services.iter().map(|service| service.chunks.capacity()).sum();
        self.services.capacity() * (size_of::<Service>() + 32) + chunks * size_of::<Chunk>()
    }

    /// First row and number of rows of a service in the segment; none when it has none.
    pub(super) fn rows_of(&self, service: &str) -> std::ops::Range<u64> {
        match self.find(service) {
            Some(found) => found.first_row..found.first_row + found.rows,
            None => 0..0,
        }
    }

    fn find(&self, service: &str) -> Option<&Service> {
        let at = self.services.binary_search_by(|known| known.name.as_str().cmp(service)).ok()?;
        self.services.get(at)
    }

    /// The levels there are, with names or without, the widest buckets first.
    pub(super) fn levels(&self, with_names: bool) -> Vec<Level> {
        let is_there = |level: &Level| self.services.iter().any(|s| s.chunks.iter().any(|chunk| chunk.level == *level));
        let levels = if with_names { &Level::NAMES[..] } else { &Level::SERVICES };
        levels.iter().rev().copied().filter(is_there).collect()
    }

    /// Reads the chunks of a level, of one service or all, of whose first and last bucket `is_wanted`
    /// says yes.
    pub(super) fn read(
        &self,
        level: Level,
        service: Option<&str>,
        is_wanted: impl Fn(i64, i64) -> bool,
    ) -> io::Result<Vec<SumChunk<'_>>> {
        let services = match service {
            Some(service) => self.find(service).map_or(&[][..], std::slice::from_ref),
            None => &self.services,
        };
        let mut decompressor = Decompressor::new()?;
        let mut found = Vec::new();
        for service in services {
            for chunk in service.chunks.iter().filter(|chunk| chunk.level == level) {
                if is_wanted(chunk.starts.0, chunk.starts.1) {
                    let packed = read_part(&self.file, chunk.offset, chunk.length, chunk.crc)?;
                    let (length, frames) = packed.split_first_chunk::<4>().ok_or_else(|| damaged("an empty chunk"))?;
                    let length = u32::from_le_bytes(*length) as usize;
                    let (rows, histograms) = frames.split_at_checked(length).ok_or_else(|| damaged("a short chunk"))?;
                    found.push(SumChunk {
                        service: &service.name,
                        level,
                        first_start_ns: chunk.starts.0,
                        rows: unpack(&mut decompressor, rows)?,
                        histograms: unpack(&mut decompressor, histograms)?,
                    });
                }
            }
        }
        Ok(found)
    }
}

impl SumChunk<'_> {
    /// Shows every sum that is wanted.
    ///
    /// # Errors
    /// When the chunk is not what its checksum says it is.
    pub(super) fn show(&self, to: &mut impl SeeSums) -> io::Result<()> {
        let (mut bytes, mut histograms) = (self.rows.as_slice(), self.histograms.as_slice());
        let (mut index, mut count) = (Vec::new(), Vec::new());
        let mut read = || -> Option<()> {
            for _ in 0..get(&mut bytes)? {
                let key = SumKey {
                    environment: get_text(&mut bytes)?.to_owned(),
                    version: get_text(&mut bytes)?.to_owned(),
                    name: get_text(&mut bytes)?.to_owned(),
                    kind: u8::try_from(get(&mut bytes)?).ok()?,
                    is_root: get(&mut bytes)? != 0,
                };
                let is_wanted = to.wants(&key);
                let mut start = self.first_start_ns;
                for _ in 0..get(&mut bytes)? {
                    start = start.wrapping_add(get(&mut bytes)?.cast_signed());
                    let mut numbers = [0; 6];
                    for number in &mut numbers {
                        *number = get(&mut bytes)?;
                    }
                    index.clear();
                    count.clear();
                    let mut next = i64::from(FIRST_INDEX);
                    for _ in 0..get(&mut bytes)? {
                        let (gap, counted) = get_bucket(&mut histograms)?;
                        next = next.wrapping_add(unzigzag(gap));
                        index.push(next as i16);
                        count.push(counted);
                        next = next.wrapping_add(1);
                    }
                    if is_wanted {
                        to.see(start, &Counted::of_abridged(numbers, &index, &count));
                    }
                }
            }
            Some(())
        };
        read().ok_or_else(|| damaged("a chunk ends too early"))
    }
}

fn read_directory(mut bytes: &[u8]) -> Option<(u64, Vec<Service>)> {
    let bytes = &mut bytes;
    let rows = get(bytes)?;
    let count = get(bytes)?;
    let mut services = Vec::new();
    for _ in 0..count {
        let name = get_text(bytes)?.to_owned();
        let (first_row, rows, count) = (get(bytes)?, get(bytes)?, get(bytes)?);
        let mut chunks = Vec::new();
        for _ in 0..count {
            let level = Level::from_number(get(bytes)?)?;
            let starts = (unzigzag(get(bytes)?), unzigzag(get(bytes)?));
            let (offset, length) = (get(bytes)?, get(bytes)?);
            chunks.push(Chunk { level, starts, offset, length, crc: u32::try_from(get(bytes)?).ok()? });
        }
        services.push(Service { name, first_row, rows, chunks });
    }
    Some((rows, services))
}

fn read_part(file: &File, offset: u64, length: u64, crc: u32) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX_UNPACKED_BYTES);
    let mut packed = vec![0; length.ok_or_else(|| damaged("a part of it is too long"))?];
    file.read_exact_at(&mut packed, offset)?;
    if crc32fast::hash(&packed) != crc {
        return Err(damaged("a checksum does not fit"));
    }
    Ok(packed)
}

fn damaged(how: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the sums cannot be used: {how}"))
}

/// The start of the bucket of a width that a time lies in.
pub(super) fn floor(time_ns: i64, width_ns: i64) -> i64 {
    time_ns.div_euclid(width_ns).saturating_mul(width_ns)
}

#[cfg(test)]
mod tests {
    use pitviper_model::SpanKind;

    use super::*;
    use crate::schema::{SpanMetricKey, SpanMetricsBuilder};

    /// Takes the hits of each bucket.
    struct Hits(BTreeMap<(String, i64), u64>, String);

    impl SeeSums for Hits {
        fn wants(&mut self, key: &SumKey) -> bool {
            self.1.clone_from(&key.name);
            true
        }

        fn see(&mut self, bucket_start_ns: i64, counted: &Counted<'_>) {
            *self.0.entry((self.1.clone(), bucket_start_ns / MINUTE_NS)).or_default() += counted.hits;
        }
    }

    #[test]
    fn every_level_can_be_read_back() {
        let mut builder = SpanMetricsBuilder::new();
        for service in ["a", "b"] {
            for (name, minute, hits) in [("x", 0, 1), ("x", 9, 2), ("x", 61, 9), ("y", 9, 40)] {
                let key = SpanMetricKey {
                    bucket_start_ns: minute * MINUTE_NS,
                    service: service.to_owned(),
                    environment: String::new(),
                    version: String::new(),
                    name: name.to_owned(),
                    kind: SpanKind::Server,
                    is_root: true,
                    peer: String::new(),
                };
                let mut red = Red { hits, duration_sum_ns: 50 * hits, ..Red::default() };
                (red.duration_min_ns, red.duration_max_ns) = (50, 50);
                red.durations.record_many(50, hits);
                builder.append(&key, &red);
            }
        }
        let rows = builder.finish();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.sums");
        let mut sums = SumsBuilder::new(10_000_000_000);
        sums.add(&rows).unwrap();
        sums.write(&path).unwrap();
        assert!(Sums::open(&path, 9).is_err(), "of another segment");
        let sums = Sums::open(&path, 8).unwrap();
        assert_eq!((sums.rows_of("a"), sums.rows_of("b"), sums.rows_of("c")), (0..4, 4..8, 0..0));
        let hits = |level: Level| {
            let mut hits = Hits(BTreeMap::new(), String::new());
            for chunk in sums.read(level, Some("b"), |_, _| true).unwrap() {
                chunk.show(&mut hits).unwrap();
            }
            hits.0.into_iter().map(|((name, minute), hits)| (name, minute, hits)).collect::<Vec<_>>()
        };
        let of = |name: &str, minute: i64, hits: u64| (name.to_owned(), minute, hits);
        for level in [Level::ServicesByTenSeconds, Level::ServicesByMinute] {
            assert_eq!(hits(level), [of("", 0, 1), of("", 9, 42), of("", 61, 9)]);
        }
        assert_eq!(hits(Level::ServicesByTenMinutes), [of("", 0, 43), of("", 60, 9)]);
        assert_eq!(hits(Level::ServicesByHour), [of("", 0, 43), of("", 60, 9)]);
        assert_eq!(hits(Level::NamesByHour), [of("x", 0, 3), of("x", 60, 9), of("y", 0, 40)]);
        assert_eq!(hits(Level::ServicesByDay), [of("", 0, 52)]);
        assert_eq!(hits(Level::NamesByDay), [of("x", 0, 12), of("y", 0, 40)]);
    }
}
