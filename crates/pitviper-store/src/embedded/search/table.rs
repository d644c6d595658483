//! One snapshot of `spans` as a table of the query engine: segments and hot batches side by side.

use std::cmp::Reverse;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetRowSelection};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use datafusion::scalar::ScalarValue;
use object_store::path::Path;
use parquet::arrow::arrow_reader::RowSelection;

use super::QUERY_THREADS;
use crate::embedded::hot::Snapshot;
use crate::embedded::manifest::Table;
use crate::embedded::prune::Lookup;
use crate::embedded::segment::Segment;
use crate::filter::{Filter, TextField, TextMatch};
use crate::schema::spans_schema;
use crate::store::{Order, Search, StoreError};

/// What one search may have to look at.
#[derive(Debug)]
pub(super) struct SpansTable {
    hot: Vec<RecordBatch>,
    segments: Vec<SegmentToScan>,
}

/// A segment, and the rows in it to look at; all when they are not known.
#[derive(Debug)]
struct SegmentToScan {
    segment: Arc<Segment>,
    rows: Option<RowSelection>,
}

impl SpansTable {
    /// Leaves out what cannot match, and puts first what the order asks for first: once enough rows
    /// are found, the engine skips files that cannot have better ones.
    ///
    /// # Errors
    /// What the file system says of a segment's files.
    pub(super) fn new(snapshot: Snapshot, search: &Search) -> Result<Self, StoreError> {
        let hot = snapshot.hot_rows(Table::Spans, search.range).cloned().collect();
        let service = required_service(&search.filter);
        let mut segments: Vec<Arc<Segment>> = snapshot
            .segments_in(Table::Spans, search.range)
            .filter(|segment| service.is_none_or(|service| segment.may_hold_service(service)))
            .cloned()
            .collect();
        match search.order {
            Order::OldestFirst => segments.sort_by_key(|segment| segment.row.min_start_ns),
            Order::NewestFirst | Order::SlowestFirst => {
                segments.sort_by_key(|segment| Reverse(segment.row.max_start_ns));
            }
        }
        let lookup = Lookup::of(&search.filter);
        let mut to_scan = Vec::with_capacity(segments.len());
        for segment in segments {
            // Without a look-up there is no need to open the segment here.
            let rows = lookup.as_ref().map_or(Ok(None), |lookup| segment.rows_for(lookup))?;
            if rows.as_ref().is_none_or(RowSelection::selects_any) {
                to_scan.push(SegmentToScan { segment, rows });
            }
        }
        Ok(Self { hot, segments: to_scan })
    }
}

/// The service that every match has, when the filter says so.
fn required_service(filter: &Filter) -> Option<&str> {
    match filter {
        Filter::Text(TextField::Service, TextMatch::Equals(service)) => Some(service),
        Filter::And(filters) => filters.iter().find_map(required_service),
        _ => None,
    }
}

#[async_trait]
impl TableProvider for SpansTable {
    fn schema(&self) -> SchemaRef {
        spans_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // The engine keeps its own filter, and pushes it down to the files when it optimises the plan.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut inputs: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        if !self.hot.is_empty() || self.segments.is_empty() {
            let partitions = std::slice::from_ref(&self.hot);
            inputs.push(MemorySourceConfig::try_new_exec(partitions, spans_schema(), projection.cloned())?);
        }
        if !self.segments.is_empty() {
            inputs.push(self.scan_segments(state, projection)?);
        }
        UnionExec::try_new(inputs)
    }
}

impl SpansTable {
    fn scan_segments(&self, state: &dyn Session, projection: Option<&Vec<usize>>) -> Result<Arc<dyn ExecutionPlan>> {
        let url = ObjectStoreUrl::local_filesystem();
        let environment = state.runtime_env();
        let store = environment.object_store(&url)?;
        let metadata_cache = environment.cache_manager.get_file_metadata_cache();
        let source = ParquetSource::new(spans_schema())
            .with_table_parquet_options(state.table_options().parquet.clone())
            .with_pushdown_filters(true)
            .with_reorder_filters(true)
            .with_enable_page_index(true)
            .with_parquet_file_reader_factory(Arc::new(CachedParquetFileReaderFactory::new(store, metadata_cache)));
        // Dealt out in turn, so that each thread meets its files in the order asked for.
        let mut groups: Vec<Vec<PartitionedFile>> = vec![Vec::new(); QUERY_THREADS.min(self.segments.len())];
        let group_count = groups.len();
        for (at, segment) in self.segments.iter().enumerate() {
            groups[at % group_count].push(partitioned_file(&segment.segment, segment.rows.as_ref())?);
        }
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups.into_iter().map(FileGroup::new).collect())
            .with_projection_indices(projection.cloned())?
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

fn partitioned_file(segment: &Segment, rows: Option<&RowSelection>) -> Result<PartitionedFile> {
    let path = Path::from_absolute_path(&segment.path).map_err(object_store::Error::from)?;
    let mut columns = vec![ColumnStatistics::new_unknown(); spans_schema().fields().len()];
    columns[0].min_value = Precision::Exact(ScalarValue::Int64(Some(segment.row.min_start_ns)));
    columns[0].max_value = Precision::Exact(ScalarValue::Int64(Some(segment.row.max_start_ns)));
    let num_rows = Precision::Exact(usize::try_from(segment.row.rows).unwrap_or(usize::MAX));
    let statistics = Statistics { num_rows, total_byte_size: Precision::Absent, column_statistics: columns };
    let mut file = PartitionedFile::new(String::new(), segment.row.bytes);
    file.object_meta.location = path;
    let file = file.with_statistics(Arc::new(statistics));
    Ok(match rows {
        Some(rows) => file.with_extension(ParquetRowSelection::new(rows.clone())),
        None => file,
    })
}
