//! A panic on the way of a batch costs neither the batch nor the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pitviper_ingest::Limits;
use pitviper_model::{Frame, FrameId, SpanId, StackId, TraceId};
use pitviper_store::questions::aggregate::{Aggregate, Aggregated};
use pitviper_store::questions::keys::{Keys, Matched};
use pitviper_store::questions::kin::{Families, Family};
use pitviper_store::questions::sql::{SqlAnswer, SqlError, SqlQuestion};
use pitviper_store::questions::survey::{KnownAttributes, Survey, Surveyed};
use pitviper_store::questions::walk::{Telling, Walk};
use pitviper_store::schema::WriteBatch;
use pitviper_store::{
    Ack, ExceptionGroups, ExceptionGroupsQuery, ExceptionsQuery, FunctionName, FunctionNames, LibrariesAnswer,
    LibrariesQuery, LogsQuery, MetricPointsAnswer, MetricPointsQuery, MetricRow, MetricSeriesAnswer, MetricSeriesQuery,
    MetricsQuery, Page, ProfileAnswer, ProfileQuery, ResourceSeen, Sampled, SampledSpans, Store, StoreError,
    StoreStats, StoredException, StoredLog, StoredSpan, TimeRange, Trace, TraceHit,
};
use tonic_types::StatusExt as _;

use crate::house::{House, message, request};

/// A store with a defect: the first writes panic. All else is the real one.
struct Defective {
    store: Arc<dyn Store>,
    panics_left: AtomicUsize,
}

#[tonic::async_trait]
impl Store for Defective {
    async fn append(&self, batch: WriteBatch) -> Result<Ack, StoreError> {
        let left = self.panics_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        assert!(left.is_err(), "on purpose");
        self.store.append(batch).await
    }

    async fn trace(&self, trace_id: TraceId, limit: usize) -> Result<Trace, StoreError> {
        self.store.trace(trace_id, limit).await
    }

    async fn trace_details(
        &self,
        trace_id: TraceId,
        span_ids: &[SpanId],
        offset: usize,
        limit: usize,
    ) -> Result<Vec<StoredSpan>, StoreError> {
        self.store.trace_details(trace_id, span_ids, offset, limit).await
    }

    fn walk_spans(&self, walk: &Walk) -> Telling<StoredSpan> {
        self.store.walk_spans(walk)
    }

    fn walk_traces(&self, walk: &Walk) -> Telling<TraceHit> {
        self.store.walk_traces(walk)
    }

    async fn traces(&self, trace_ids: &[TraceId], limit_per_trace: usize) -> Result<Vec<(TraceId, Trace)>, StoreError> {
        self.store.traces(trace_ids, limit_per_trace).await
    }

    async fn metrics(&self, query: &MetricsQuery) -> Result<Vec<MetricRow>, StoreError> {
        self.store.metrics(query).await
    }

    fn metric_bucket_ns(&self, range: TimeRange) -> i64 {
        self.store.metric_bucket_ns(range)
    }

    async fn aggregate(&self, question: &Aggregate) -> Result<Aggregated, StoreError> {
        self.store.aggregate(question).await
    }

    async fn keys(&self, question: &Keys) -> Result<Matched, StoreError> {
        self.store.keys(question).await
    }

    async fn families(&self, question: &Families) -> Result<Option<Vec<(TraceId, Family)>>, StoreError> {
        self.store.families(question).await
    }

    async fn survey(&self, question: &Survey) -> Result<Surveyed, StoreError> {
        self.store.survey(question).await
    }

    async fn known_attributes(&self, range: TimeRange) -> Result<KnownAttributes, StoreError> {
        self.store.known_attributes(range).await
    }

    async fn sql(&self, question: &SqlQuestion) -> Result<SqlAnswer, SqlError> {
        self.store.sql(question).await
    }

    async fn resources(&self, range: TimeRange) -> Result<Vec<ResourceSeen>, StoreError> {
        self.store.resources(range).await
    }

    async fn logs(&self, query: &LogsQuery) -> Result<Page<StoredLog>, StoreError> {
        self.store.logs(query).await
    }

    async fn metric_series(&self, query: &MetricSeriesQuery) -> Result<MetricSeriesAnswer, StoreError> {
        self.store.metric_series(query).await
    }

    async fn metric_points(&self, query: &MetricPointsQuery) -> Result<MetricPointsAnswer, StoreError> {
        self.store.metric_points(query).await
    }

    async fn profile(&self, query: &ProfileQuery) -> Result<ProfileAnswer, StoreError> {
        self.store.profile(query).await
    }

    async fn stacks(&self, range: TimeRange, ids: &[StackId]) -> Result<Vec<(StackId, Vec<FrameId>)>, StoreError> {
        self.store.stacks(range, ids).await
    }

    async fn frames(&self, range: TimeRange, ids: &[FrameId]) -> Result<Vec<(FrameId, Frame)>, StoreError> {
        self.store.frames(range, ids).await
    }

    async fn sampled_spans(&self, question: &SampledSpans) -> Result<Sampled, StoreError> {
        self.store.sampled_spans(question).await
    }

    async fn function_names(&self, question: &FunctionNames) -> Result<Vec<FunctionName>, StoreError> {
        self.store.function_names(question).await
    }

    async fn exception_groups(&self, query: &ExceptionGroupsQuery) -> Result<ExceptionGroups, StoreError> {
        self.store.exception_groups(query).await
    }

    async fn exceptions(&self, query: &ExceptionsQuery) -> Result<Page<StoredException>, StoreError> {
        self.store.exceptions(query).await
    }

    async fn libraries(&self, query: &LibrariesQuery) -> Result<LibrariesAnswer, StoreError> {
        self.store.libraries(query).await
    }

    async fn compact(&self) -> Result<(), StoreError> {
        self.store.compact().await
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.store.flush().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }

    fn stats(&self) -> StoreStats {
        self.store.stats()
    }
}

#[tokio::test]
async fn a_batch_that_panics_is_asked_for_again() {
    let defective = |store| Arc::new(Defective { store, panics_left: AtomicUsize::new(2) }) as Arc<dyn Store>;
    let house = House::with(|_| {}, Limits::default(), defective).await;

    let answer = house.protobuf(&request(3)).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.head.contains("retry-after: "), "{}", answer.head);
    assert!(answer.text().contains("try again") && !answer.text().contains("on purpose"), "{}", answer.text());
    assert_eq!((house.refused("otlp_http", "internal_error"), house.all_requests()), (1, 1));
    assert_eq!(house.outcome("dropped", "internal_error"), 3);

    let mut client = house.client().await;
    let status = client.export(message(3)).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
    assert!(status.get_details_retry_info().is_some(), "{status}");
    assert_eq!((house.refused("otlp_grpc", "internal_error"), house.all_requests()), (1, 2));
    assert_eq!(house.outcome("dropped", "internal_error"), 6);

    client.export(message(3)).await.expect("the defect is gone, and what is sent again is kept");
    assert_eq!(house.outcome("stored", ""), 3);
    house.goes_on().await;
}
