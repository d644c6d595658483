//! `pitviper-server export`: writes stored spans, log records or points of metrics to a file, in bounded memory.
//!
//! While a server has the data directory, a backup of it that shares its segments is read instead, and
//! removed afterwards.

mod records;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use pitviper_query::search::Query;
use pitviper_query::time::TimeText;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore, Retention, backup};
use pitviper_store::filter::Filter;
use pitviper_store::{
    Cursor, FileRecord, Order, RecordFileWriter, Search, SpanFileWriter, Store, StoreError, StoredSpan, TimeRange,
};

pub(super) use self::records::grouped;
use self::records::{Exported, row_of_log, row_of_point};
use super::progress::Progress;
use super::{Kind, MAX_MESSAGE_BYTES, data_dir, size};

/// Items of one request in the file.
const ITEMS_A_REQUEST: usize = 512;
/// Spans that are asked for at once when there is a query.
const PAGE_SPANS: usize = 2_000;
/// The first stretch of time that is asked for; later ones are as long as suits what is in them.
const FIRST_STRETCH_NS: i64 = 3_600_000_000_000;
const SHORTEST_STRETCH_NS: i64 = 1_000_000_000;
/// A stretch with more pages than this is followed by a shorter one.
const MAX_PAGES_A_STRETCH: usize = 4;

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The data directory to read [default: $XDG_DATA_HOME/pitviper or ~/.local/share/pitviper]
    #[arg(long, value_name = "DIR", env = "PITVIPER_SERVER_DATA_DIR")]
    data_dir: Option<PathBuf>,

    /// What to export. Exceptions come back with the spans and log records they stand in, and rates with the spans
    #[arg(long, value_name = "SIGNAL", default_value = "spans")]
    signal: Kind,

    /// Only what is at or after this: ISO 8601, microseconds since the epoch, or `now-2h`
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,

    /// Only what is before this
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,

    /// Only spans that this search finds, such as `service:flaskr status:error`
    #[arg(long, value_name = "SEARCH")]
    query: Option<String>,

    /// What the file holds
    #[arg(long, value_name = "FORMAT")]
    format: Format,

    /// The file to write; it must not be there yet
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// OTLP/JSON, an export request a line, as the OpenTelemetry collector writes files.
    OtlpJson,
    /// OTLP protobuf, each export request behind its length in four bytes, big endian.
    Otlp,
    /// A Parquet file with plain columns.
    Parquet,
}

pub(crate) fn run(export: &Export) -> anyhow::Result<()> {
    let dir = data_dir(export.data_dir.as_ref())?;
    let range = range(export)?;
    let filter = export.query.as_deref().map(filter).transpose()?;
    if filter.is_some() && export.signal != Kind::Spans {
        bail!("--query finds spans; export {} without it", export.signal.items());
    }
    if export.to.exists() {
        bail!("--to {}: it is there already; name a file that is not", export.to.display());
    }
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot start")?;
    let source = runtime.block_on(Source::open(&dir)).with_context(|| format!("--data-dir {}", dir.display()))?;
    let mut sink = Sink::create(export.format, export.signal, &export.to)?;
    match (export.signal, filter) {
        (Kind::Spans, None) => {
            for spans in source.store.scan(range) {
                sink.write_spans(&spans?)?;
            }
        }
        (Kind::Spans, Some(filter)) => runtime.block_on(matching(&source.store, range, filter, &mut sink))?,
        (Kind::Logs, _) => {
            for records in source.store.scan_logs(range) {
                sink.write(&records?, row_of_log)?;
            }
        }
        (Kind::Metrics, _) => {
            for points in source.store.scan_points(range)? {
                sink.write(&points?, row_of_point)?;
            }
        }
    }
    let (items, bytes) = sink.finish()?;
    runtime.block_on(source.store.close())?;
    writeln!(io::stdout(), "{}: {items} {}, {}", export.to.display(), export.signal.items(), size(bytes))?;
    Ok(())
}

fn range(export: &Export) -> anyhow::Result<TimeRange> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_us = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
    let time = |flag: &str, text: &Option<String>, default: i64| -> anyhow::Result<i64> {
        let Some(text) = text else { return Ok(default) };
        let micros = TimeText::Text(text.clone()).resolve(now_us).with_context(|| format!("{flag} {text}"))?;
        Ok(micros.saturating_mul(1_000))
    };
    let range = TimeRange {
        start_ns: time("--from", &export.from, i64::MIN)?,
        end_ns: time("--until", &export.until, i64::MAX)?,
    };
    if range.start_ns >= range.end_ns {
        bail!("--from has to be before --until");
    }
    Ok(range)
}

fn filter(text: &str) -> anyhow::Result<Filter> {
    let query = Query::parse(text).with_context(|| format!("--query {text}"))?;
    query.filter().context("--query: an export takes conditions on single spans, no relations and no functions")
}

/// A store to read, and the copy it may be of.
struct Source {
    store: Arc<EmbeddedStore>,
    /// Behind the store, so that it goes last.
    _copy: Option<Copy>,
}

/// A directory that is removed when it is not needed any more.
struct Copy(PathBuf);

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Source {
    async fn open(dir: &Path) -> anyhow::Result<Self> {
        if !dir.join("manifest.sqlite").exists() {
            bail!("it is no data directory: there is no manifest.sqlite");
        }
        match EmbeddedStore::open(settings(dir)).await {
            Ok(store) => return Ok(Self { store, _copy: None }),
            Err(StoreError::Locked { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        // Inside, where its segments can be links.
        let copy = Copy(dir.join(format!(".export-{}", std::process::id())));
        let (from, to) = (dir.to_owned(), copy.0.clone());
        tokio::task::spawn_blocking(move || backup(&from, &to)).await??;
        let store = EmbeddedStore::open(settings(&copy.0)).await?;
        Ok(Self { store, _copy: Some(copy) })
    }
}

/// Nothing is let go and nothing flushed because somebody reads.
fn settings(dir: &Path) -> EmbeddedConfig {
    let retention = Retention::default();
    EmbeddedConfig { retention, flush_after_ms: u64::MAX, flush_rows: usize::MAX, ..EmbeddedConfig::new(dir) }
}

/// Writes what the filter finds, stretch after stretch of time.
async fn matching(store: &EmbeddedStore, range: TimeRange, filter: Filter, sink: &mut Sink) -> anyhow::Result<()> {
    let seen = store.resources(range).await?;
    let first = seen.iter().map(|resource| resource.first_seen_ns).min();
    let last = seen.iter().map(|resource| resource.last_seen_ns).max();
    let (Some(first), Some(last)) = (first, last) else { return Ok(()) };
    let end = range.end_ns.min(last.saturating_add(1));
    let mut start = range.start_ns.max(first);
    let mut width = FIRST_STRETCH_NS;
    while start < end {
        let stretch = TimeRange { start_ns: start, end_ns: start.saturating_add(width).min(end) };
        let (mut after, mut pages, mut found) = (None, 0, 0);
        loop {
            let order = Order::OldestFirst;
            let search = Search { range: stretch, filter: filter.clone(), order, limit: PAGE_SPANS, after };
            let spans = store.search_spans(&search).await?;
            (pages, found) = (pages + 1, found + spans.len());
            after = spans.last().map(cursor);
            sink.write_spans(&spans)?;
            if spans.len() < PAGE_SPANS {
                break;
            }
        }
        start = stretch.end_ns;
        if pages > MAX_PAGES_A_STRETCH {
            width = (width / 2).max(SHORTEST_STRETCH_NS);
        } else if found < PAGE_SPANS / 2 {
            width = width.saturating_mul(2);
        }
    }
    Ok(())
}

fn cursor(stored: &StoredSpan) -> Cursor {
    let span = &stored.span;
    let value = i64::try_from(span.start_time_unix_nano).unwrap_or(i64::MAX);
    Cursor { value, trace_id: span.trace_id, span_id: span.span_id }
}

/// The file being written, under another name until it is whole.
struct Sink {
    writer: Option<Writer>,
    partial: PathBuf,
    target: PathBuf,
    items: u64,
    progress: Progress,
}

enum Writer {
    Messages(Format, BufWriter<File>),
    Spans(Box<SpanFileWriter>),
    Records(Box<RecordFileWriter>),
}

impl Sink {
    fn create(format: Format, signal: Kind, target: &Path) -> anyhow::Result<Self> {
        let mut name = target.as_os_str().to_owned();
        name.push(format!(".partial-{}", std::process::id()));
        let partial = PathBuf::from(name);
        let writer = match (format, signal) {
            (Format::Parquet, Kind::Spans) => Writer::Spans(Box::new(SpanFileWriter::create(&partial)?)),
            (Format::Parquet, _) => Writer::Records(Box::new(RecordFileWriter::create(&partial)?)),
            _ => {
                let file = File::create(&partial).with_context(|| format!("--to {}", target.display()))?;
                Writer::Messages(format, BufWriter::new(file))
            }
        };
        let target = target.to_owned();
        let progress = Progress::new("exported", signal.items());
        Ok(Self { writer: Some(writer), partial, target, items: 0, progress })
    }

    fn write_spans(&mut self, spans: &[StoredSpan]) -> anyhow::Result<()> {
        if let Some(Writer::Spans(writer)) = &mut self.writer {
            writer.write(spans)?;
        } else {
            self.write_messages(spans)?;
        }
        self.count(spans.len());
        Ok(())
    }

    /// Writes items that have no columns of their own in a Parquet file, but these.
    fn write<T: Exported>(&mut self, items: &[T], row: fn(&T) -> FileRecord) -> anyhow::Result<()> {
        if let Some(Writer::Records(writer)) = &mut self.writer {
            writer.write(&items.iter().map(row).collect::<Vec<_>>())?;
        } else {
            self.write_messages(items)?;
        }
        self.count(items.len());
        Ok(())
    }

    fn write_messages<T: Exported>(&mut self, items: &[T]) -> anyhow::Result<()> {
        let Some(Writer::Messages(format, file)) = &mut self.writer else { bail!("the file is finished") };
        for request in items.chunks(ITEMS_A_REQUEST) {
            write_request(*format, file, request).with_context(|| format!("writing {}", self.partial.display()))?;
        }
        Ok(())
    }

    fn count(&mut self, items: usize) {
        self.items += items as u64;
        self.progress.at(self.items);
    }

    /// Makes the file durable and gives it its name; items and bytes in it.
    fn finish(mut self) -> anyhow::Result<(u64, u64)> {
        let publish = |writer: Writer| -> anyhow::Result<u64> {
            match writer {
                Writer::Spans(writer) => writer.finish()?,
                Writer::Records(writer) => writer.finish()?,
                Writer::Messages(_, file) => file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?,
            }
            fs::rename(&self.partial, &self.target)?;
            Ok(fs::metadata(&self.target)?.len())
        };
        let writer = self.writer.take().context("the file is finished")?;
        let bytes = publish(writer).with_context(|| format!("--to {}", self.target.display()))?;
        Ok((self.items, bytes))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Gone already when it was finished.
        let _ = fs::remove_file(&self.partial);
    }
}

/// Writes items as one request, or as several when one were larger than an import reads.
fn write_request<T: Exported>(format: Format, out: &mut impl Write, items: &[T]) -> anyhow::Result<()> {
    let message = match format {
        Format::OtlpJson => T::to_json(items).into_bytes(),
        _ => T::to_protobuf(items),
    };
    if message.len() > MAX_MESSAGE_BYTES {
        if items.len() < 2 {
            bail!(
                "{} takes {} bytes, more than an import reads; leave it out with --query or --from and --until, or \
                 export as parquet",
                items[0].describe(),
                message.len()
            );
        }
        let (left, right) = items.split_at(items.len() / 2);
        write_request(format, out, left)?;
        return write_request(format, out, right);
    }
    match format {
        Format::OtlpJson => {
            out.write_all(&message)?;
            out.write_all(b"\n")?;
        }
        _ => {
            out.write_all(&u32::try_from(message.len())?.to_be_bytes())?;
            out.write_all(&message)?;
        }
    }
    Ok(())
}
