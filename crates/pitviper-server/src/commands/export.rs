//! `pitviper-server export`: writes stored spans to a file, in bounded memory.
//!
//! While a server has the data directory, a backup of it that shares its segments is read instead, and
//! removed afterwards.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use pitviper_model::{ResourceSpans, ScopeSpans};
use pitviper_query::search::Query;
use pitviper_query::time::TimeText;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore, Retention, backup};
use pitviper_store::filter::Filter;
use pitviper_store::{Cursor, Order, Search, SpanFileWriter, Store, StoreError, StoredSpan, TimeRange};
use pitviper_wire::export::{traces_to_json, traces_to_protobuf};

use super::progress::Progress;
use super::{MAX_MESSAGE_BYTES, data_dir, size};

/// Spans of one request in the file.
const SPANS_A_REQUEST: usize = 512;
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

    /// Only spans that start at or after this: ISO 8601, microseconds since the epoch, or `now-2h`
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,

    /// Only spans that start before this
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,

    /// Only spans this search finds, such as `service:flaskr status:error`
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
    /// OTLP/JSON, an ExportTraceServiceRequest a line, as the OpenTelemetry collector writes files.
    OtlpJson,
    /// OTLP protobuf, each ExportTraceServiceRequest behind its length in four bytes, big endian.
    Otlp,
    /// A Parquet file with plain columns.
    Parquet,
}

pub(crate) fn run(export: &Export) -> anyhow::Result<()> {
    let dir = data_dir(export.data_dir.as_ref())?;
    let range = range(export)?;
    let filter = export.query.as_deref().map(filter).transpose()?;
    if export.to.exists() {
        bail!("--to {}: it is there already; name a file that is not", export.to.display());
    }
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot start")?;
    let source = runtime.block_on(Source::open(&dir)).with_context(|| format!("--data-dir {}", dir.display()))?;
    let mut sink = Sink::create(export.format, &export.to)?;
    match filter {
        None => {
            for spans in source.store.scan(range) {
                sink.write(&spans?)?;
            }
        }
        Some(filter) => runtime.block_on(matching(&source.store, range, filter, &mut sink))?,
    }
    let (spans, bytes) = sink.finish()?;
    runtime.block_on(source.store.close())?;
    writeln!(io::stdout(), "{}: {spans} spans, {}", export.to.display(), size(bytes))?;
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
            sink.write(&spans)?;
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
    spans: u64,
    progress: Progress,
}

enum Writer {
    Messages(Format, BufWriter<File>),
    Parquet(Box<SpanFileWriter>),
}

impl Sink {
    fn create(format: Format, target: &Path) -> anyhow::Result<Self> {
        let mut name = target.as_os_str().to_owned();
        name.push(format!(".partial-{}", std::process::id()));
        let partial = PathBuf::from(name);
        let writer = match format {
            Format::Parquet => Writer::Parquet(Box::new(SpanFileWriter::create(&partial)?)),
            _ => {
                let file = File::create(&partial).with_context(|| format!("--to {}", target.display()))?;
                Writer::Messages(format, BufWriter::new(file))
            }
        };
        let target = target.to_owned();
        Ok(Self { writer: Some(writer), partial, target, spans: 0, progress: Progress::new("exported") })
    }

    fn write(&mut self, spans: &[StoredSpan]) -> anyhow::Result<()> {
        match self.writer.as_mut().context("the file is finished")? {
            Writer::Parquet(writer) => writer.write(spans)?,
            Writer::Messages(format, file) => {
                for request in spans.chunks(SPANS_A_REQUEST) {
                    write_request(*format, file, request)
                        .with_context(|| format!("writing {}", self.partial.display()))?;
                }
            }
        }
        self.spans += spans.len() as u64;
        self.progress.at(self.spans);
        Ok(())
    }

    /// Makes the file durable and gives it its name; spans and bytes in it.
    fn finish(mut self) -> anyhow::Result<(u64, u64)> {
        let publish = |writer: Writer| -> anyhow::Result<u64> {
            match writer {
                Writer::Parquet(writer) => writer.finish()?,
                Writer::Messages(_, file) => file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?,
            }
            fs::rename(&self.partial, &self.target)?;
            Ok(fs::metadata(&self.target)?.len())
        };
        let writer = self.writer.take().context("the file is finished")?;
        let bytes = publish(writer).with_context(|| format!("--to {}", self.target.display()))?;
        Ok((self.spans, bytes))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Gone already when it was finished.
        let _ = fs::remove_file(&self.partial);
    }
}

/// Writes spans as one request, or as several when one were larger than an import reads.
fn write_request(format: Format, out: &mut impl Write, spans: &[StoredSpan]) -> anyhow::Result<()> {
    let batch = grouped(spans);
    let message = match format {
        Format::OtlpJson => traces_to_json(&batch).into_bytes(),
        _ => traces_to_protobuf(&batch),
    };
    if message.len() > MAX_MESSAGE_BYTES {
        if spans.len() < 2 {
            let span = &spans[0].span;
            bail!(
                "the span {} of trace {} takes {} bytes, more than an import reads; leave it out with --query, or \
                 export as parquet",
                span.span_id,
                span.trace_id,
                message.len()
            );
        }
        let (left, right) = spans.split_at(spans.len() / 2);
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

/// Spans by process and library, as a request has them.
pub(super) fn grouped(spans: &[StoredSpan]) -> Vec<ResourceSpans> {
    let mut batch: Vec<ResourceSpans> = Vec::new();
    for stored in spans {
        let same =
            |known: &ResourceSpans| Arc::ptr_eq(&known.resource, &stored.resource) || known.resource == stored.resource;
        let resource = match batch.iter().rposition(same) {
            Some(at) => &mut batch[at],
            None => {
                batch.push(ResourceSpans { resource: Arc::clone(&stored.resource), scopes: Vec::new() });
                batch.last_mut().expect("one was just pushed")
            }
        };
        let same = |known: &ScopeSpans| Arc::ptr_eq(&known.scope, &stored.scope) || known.scope == stored.scope;
        match resource.scopes.iter().rposition(same) {
            Some(at) => resource.scopes[at].spans.push(stored.span.clone()),
            None => {
                let (scope, spans) = (Arc::clone(&stored.scope), vec![stored.span.clone()]);
                resource.scopes.push(ScopeSpans { scope, spans });
            }
        }
    }
    batch
}
