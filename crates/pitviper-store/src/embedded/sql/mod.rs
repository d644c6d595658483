//! Read-only SQL over the views.
//!
//! [`guard`] reads a statement and refuses what is not allowed or too large; DataFusion plans and runs
//! what is left over the [`view`]s, which show what is stored in the columns of [`columns`] and read
//! only what [`pushdown`] leaves; [`cells`] makes the typed answer, and [`problem`] says what is wrong
//! and where. Each statement has a session of its own, with memory of its own, and nothing to find in it
//! but the views.
//!
//! Statements run on threads of their own, so that a planner that is busy or falls over holds up nothing
//! else. Planner and operators call themselves as deep as a statement nests; the threads have the room
//! for the deepest that [`guard`] lets through.

mod cells;
mod columns;
mod functions;
mod guard;
mod problem;
mod pushdown;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use datafusion::common::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool, PeakRecordingPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::prelude::{DataFrame, SQLOptions, SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::Semaphore;

use self::columns::Of;
use self::guard::Allowed;
use self::problem::Text;
use self::view::{Run, View};
use super::hot::Snapshot;
use crate::questions::sql::{
    AT_A_TIME, MAX_ANSWER_BYTES, MAX_MEMORY_BYTES, MAX_ROWS, MAX_TIME, SqlAnswer, SqlColumn, SqlError, SqlQuestion,
    SqlType, SqlValue, SqlView, Truncated, VIEWS,
};
use crate::store::StoreError;

/// Threads that plan and run statements.
const THREADS: usize = 2;
/// Threads that read rows for them, at most.
const READERS: usize = 64;
/// Room for calls of each thread, in bytes. Taken as it is used.
const STACK_BYTES: usize = 128 * 1024 * 1024;
/// Into how many parts rows are divided, to be worked on side by side.
const PARTITIONS: usize = 2;
/// Rows that are worked on together.
const ROWS_AT_A_TIME: usize = 8_192;
/// The same of a statement that makes many rows of one, and makes all of them at once.
const UNNESTED_ROWS_AT_A_TIME: usize = 64;

/// Answers statements.
pub(super) struct SqlEngine {
    /// Started with the first statement.
    runtime: Mutex<Option<Runtime>>,
    turns: Arc<Semaphore>,
}

impl Default for SqlEngine {
    fn default() -> Self {
        Self { runtime: Mutex::new(None), turns: Arc::new(Semaphore::new(AT_A_TIME)) }
    }
}

impl std::fmt::Debug for SqlEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlEngine").finish_non_exhaustive()
    }
}

impl Drop for SqlEngine {
    fn drop(&mut self) {
        // A runtime must not be dropped where tasks run, which is where a store may be dropped.
        if let Some(runtime) = self.runtime.get_mut().take() {
            runtime.shutdown_background();
        }
    }
}

impl SqlEngine {
    /// Answers a statement. It ends when its caller goes away, at the latest when it next takes rows.
    pub(super) async fn answer(&self, snapshot: Snapshot, question: &SqlQuestion) -> Result<SqlAnswer, SqlError> {
        let question = question.clone();
        let turns = Arc::clone(&self.turns);
        let run = async move {
            let turn = turns.acquire_owned().await.map_err(|_| StoreError::Closed)?;
            let answer = answer(snapshot, &question).await;
            drop(turn);
            answer
        };
        let task = self
            .handle()?
            .spawn(async move { tokio::time::timeout(MAX_TIME, run).await.unwrap_or(Err(SqlError::Time)) });
        let mut task = super::search::AbortOnDrop(task);
        (&mut task.0).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a statement was not answered");
            Err(SqlError::Store(StoreError::Engine("the statement could not be answered".to_owned())))
        })
    }

    fn handle(&self) -> Result<Handle, StoreError> {
        let mut runtime = self.runtime.lock();
        if let Some(runtime) = &*runtime {
            return Ok(runtime.handle().clone());
        }
        let started = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(READERS)
            .thread_stack_size(STACK_BYTES)
            .thread_name("pitviper-sql")
            .enable_all()
            .build()
            .map_err(super::io_error(|| "starting the threads of SQL".to_owned()))?;
        Ok(runtime.insert(started).handle().clone())
    }
}

async fn answer(snapshot: Snapshot, question: &SqlQuestion) -> Result<SqlAnswer, SqlError> {
    let (statement, is_explained, is_unnesting) =
        match guard::check(&question.statement).map_err(SqlError::Statement)? {
            Allowed::Query { statement, is_explained, is_unnesting } => (statement, is_explained, is_unnesting),
            Allowed::ShowTables => return Ok(tables()),
            Allowed::Describe(view) => return Ok(description(view)),
        };
    let memory = Arc::new(PeakRecordingPool::new(Arc::new(GreedyMemoryPool::new(MAX_MEMORY_BYTES))));
    let run = Arc::new(Run {
        snapshot,
        range: question.range,
        began: Instant::now(),
        time_limit: MAX_TIME,
        rows_at_a_time: if is_unnesting { UNNESTED_ROWS_AT_A_TIME } else { ROWS_AT_A_TIME },
        scanned: AtomicU64::new(0),
        is_inexact: AtomicBool::new(false),
    });
    let pool = Arc::clone(&memory) as Arc<dyn MemoryPool>;
    let max_rows = question.max_rows.min(MAX_ROWS);
    let text = Text(&question.statement);
    let limit = (!is_explained).then_some(max_rows + 1);
    let mut answer = rows(&run, pool, statement, limit, max_rows).await.map_err(|error| text.error(&error))?;
    answer.rows_scanned = run.scanned.load(Ordering::Relaxed);
    answer.memory_bytes = memory.max_reserved() as u64;
    answer.exact = !run.is_inexact.load(Ordering::Relaxed);
    Ok(answer)
}

/// Runs a statement until there is enough of the answer.
async fn rows(
    run: &Arc<Run>,
    memory: Arc<dyn MemoryPool>,
    statement: Statement,
    limit: Option<usize>,
    max_rows: usize,
) -> Result<SqlAnswer, DataFusionError> {
    let context = SessionContext::new_with_state(session(memory, run.rows_at_a_time)?);
    for of in Of::ALL {
        context.register_table(of.view().name, Arc::new(View::new(of, Arc::clone(run))))?;
    }
    let plan = context.state().statement_to_plan(statement).await?;
    let only_reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    only_reading.verify_plan(&plan)?;
    let mut frame = DataFrame::new(context.state(), plan);
    if limit.is_some() {
        // So that rows that nobody will see are not sorted.
        frame = frame.limit(0, limit)?;
    }
    let mut batches = frame.execute_stream().await?;
    let column = |field: &Arc<arrow::datatypes::Field>| SqlColumn {
        name: field.name().clone(),
        kind: cells::kind(field.data_type()),
    };
    let columns = batches.schema().fields().iter().map(column).collect();
    let mut answer = SqlAnswer { columns, ..SqlAnswer::default() };
    let mut bytes = 0;
    while let Some(batch) = batches.next().await {
        for row in cells::rows(&batch?) {
            let row = row?;
            bytes += row.iter().map(SqlValue::size_bytes).sum::<usize>();
            answer.truncated = match () {
                () if answer.rows.len() >= max_rows => Some(Truncated::Rows),
                () if bytes > MAX_ANSWER_BYTES => Some(Truncated::Bytes),
                () => None,
            };
            if answer.truncated.is_some() {
                return Ok(answer);
            }
            answer.rows.push(row);
        }
    }
    Ok(answer)
}

/// A session with our functions, and without files, networks and settings.
fn session(memory: Arc<dyn MemoryPool>, rows_at_a_time: usize) -> Result<SessionState, DataFusionError> {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(memory)
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .build_arc()?;
    let config = SessionConfig::new()
        .with_target_partitions(PARTITIONS)
        .with_batch_size(rows_at_a_time)
        .with_information_schema(false)
        .set_bool("datafusion.execution.enable_recursive_ctes", false)
        .set_bool("datafusion.sql_parser.collect_spans", true);
    let mut planners = vec![Arc::new(functions::Concatenate) as Arc<dyn ExprPlanner>];
    planners.extend(SessionStateDefaults::default_expr_planners());
    Ok(SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_expr_planners(planners)
        .with_scalar_functions(functions::scalar())
        .with_aggregate_functions(SessionStateDefaults::default_aggregate_functions())
        .with_window_functions(SessionStateDefaults::default_window_functions())
        .build())
}

fn text(text: &str) -> SqlValue {
    SqlValue::Text(text.to_owned())
}

fn table<const N: usize>(columns: [&str; N], rows: impl Iterator<Item = [SqlValue; N]>) -> SqlAnswer {
    let column = |name: &str| SqlColumn { name: name.to_owned(), kind: SqlType::Text };
    let rows = rows.map(Vec::from).collect();
    SqlAnswer { columns: columns.into_iter().map(column).collect(), rows, exact: true, ..SqlAnswer::default() }
}

/// The answer to `SHOW TABLES`.
fn tables() -> SqlAnswer {
    table(["name", "about"], VIEWS.iter().map(|view| [text(view.name), text(view.about)]))
}

/// The answer to `DESCRIBE`.
fn description(view: &SqlView) -> SqlAnswer {
    let row = |column: &crate::questions::sql::SqlViewColumn| {
        [text(column.name), text(column.kind.as_str()), text(column.about)]
    };
    table(["column", "type", "about"], view.columns.iter().map(row))
}
