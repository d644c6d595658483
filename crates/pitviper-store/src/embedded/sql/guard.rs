//! What a statement may be. It is read, bounded and looked through here before the planner sees it:
//! the planner calls itself as deep as the statement nests, and copies columns into whatever is made
//! of them.

use std::ops::ControlFlow;

use datafusion::common::TableReference;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, Query, Select, SetExpr, Statement as SqlStatement, TableFactor, Visit, Visitor,
    visit_expressions,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::problem::{Text, nearest};
use crate::questions::sql::{
    MAX_CUBE, MAX_EXPANSION, MAX_NESTING, MAX_RELATIONS, MAX_STATEMENT_BYTES, MAX_TOKENS, SqlProblem, SqlView, VIEWS,
};

/// What is refused is said so with this.
const ONLY_READING: &str =
    "only SELECT, WITH, VALUES, EXPLAIN of these, SHOW TABLES and DESCRIBE are answered; nothing can be changed here";

/// A statement that may be answered.
#[derive(Debug)]
pub(super) enum Allowed {
    /// Rows of the views; or how they would be found.
    Query {
        statement: Statement,
        is_explained: bool,
        /// Whether it makes many rows of one.
        is_unnesting: bool,
    },
    /// The names of the views.
    ShowTables,
    /// The columns of a view.
    Describe(&'static SqlView),
}

/// Reads a statement.
///
/// # Errors
/// When it is not SQL, not one statement, not one that only reads, or too large.
pub(super) fn check(text: &str) -> Result<Allowed, SqlProblem> {
    let source = Text(text);
    if text.len() > MAX_STATEMENT_BYTES {
        return Err(source.problem(format!("the statement is longer than {MAX_STATEMENT_BYTES} bytes")));
    }
    let tokens = Tokenizer::new(&GenericDialect {}, text)
        .tokenize_with_location()
        .map_err(|error| source.parser_problem(&ParserError::from(error)))?;
    let words = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).count();
    if words > MAX_TOKENS {
        return Err(source.problem(format!("the statement has more than {MAX_TOKENS} words, numbers and signs")));
    }
    let is_unnest =
        |token: &&TokenWithSpan| matches!(&token.token, Token::Word(word) if word.value.eq_ignore_ascii_case("unnest"));
    let unnests = tokens.iter().filter(is_unnest).count();
    if unnests > 1 {
        return Err(source.problem("a statement may use UNNEST once".to_owned()));
    }
    let mut statements = DFParserBuilder::new(tokens)
        .with_recursion_limit(MAX_NESTING)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| source.parsing_problem(&error))?;
    let statement = statements.pop_front().ok_or_else(|| source.problem("there is no statement".to_owned()))?;
    if !statements.is_empty() {
        return Err(source.problem("there is more than one statement; send them one by one".to_owned()));
    }
    allowed(&source, statement, unnests > 0)
}

fn allowed(source: &Text<'_>, statement: Statement, is_unnesting: bool) -> Result<Allowed, SqlProblem> {
    let (query, is_explained) = match &statement {
        Statement::Statement(inner) => (inner, false),
        Statement::Explain(explain) => match &*explain.statement {
            Statement::Statement(inner) => (inner, true),
            _ => return Err(source.problem(ONLY_READING.to_owned())),
        },
        _ => return Err(source.problem(ONLY_READING.to_owned())),
    };
    match &**query {
        SqlStatement::Query(_) => {}
        SqlStatement::ShowTables { .. } if !is_explained && query.to_string() == "SHOW TABLES" => {
            return Ok(Allowed::ShowTables);
        }
        SqlStatement::ExplainTable { table_name, .. } if !is_explained => {
            let name = bare_name(table_name).unwrap_or_default();
            let view = VIEWS.into_iter().find(|view| view.name == name);
            return view.map(Allowed::Describe).ok_or_else(|| unknown_view(source, table_name));
        }
        _ => return Err(source.problem(ONLY_READING.to_owned())),
    }
    let mut looks = Looks { relations: Vec::new(), expansion: 1, grouping_sets: 0, cubed: 0 };
    if let ControlFlow::Break(message) = query.visit(&mut looks) {
        return Err(source.problem(message));
    }
    looks.know_their_views(source, &statement)?;
    Ok(Allowed::Query { statement, is_explained, is_unnesting })
}

/// What was met in a statement.
struct Looks {
    relations: Vec<ObjectName>,
    expansion: u64,
    grouping_sets: usize,
    cubed: usize,
}

impl Looks {
    /// Every relation that is no query of a `WITH` is a view.
    fn know_their_views(&self, source: &Text<'_>, statement: &Statement) -> Result<(), SqlProblem> {
        let (references, _) = resolve_table_references(statement, true)
            .map_err(|error| source.problem(format!("a table name cannot be read: {error}")))?;
        for reference in references {
            let is_view = matches!(&reference, TableReference::Bare { table }
                if VIEWS.iter().any(|view| view.name == &**table));
            if !is_view {
                let written = reference.to_string();
                let is_it = |name: &&ObjectName| normal(name) == written;
                let Some(name) = self.relations.iter().find(is_it) else {
                    return Err(source.problem(format!("there is no view `{written}`; {}", all_views())));
                };
                return Err(unknown_view(source, name));
            }
        }
        Ok(())
    }
}

impl Visitor for Looks {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        if query.with.as_ref().is_some_and(|with| with.recursive) {
            return ControlFlow::Break("WITH RECURSIVE is not answered here".to_owned());
        }
        let mut parts = vec![&*query.body];
        while let Some(part) = parts.pop() {
            match part {
                SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                    return ControlFlow::Break(ONLY_READING.to_owned());
                }
                SetExpr::SetOperation { left, right, .. } => parts.extend([&**left, &**right]),
                SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) | SetExpr::Table(_) => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        if select.into.is_some() {
            return ControlFlow::Break(ONLY_READING.to_owned());
        }
        let columns = select.projection.iter().map(columns_of).max().unwrap_or(1);
        self.expansion = self.expansion.saturating_mul(columns.max(1));
        if self.expansion > MAX_EXPANSION {
            let message = "the queries of the statement use columns of each other too often; use each column less often, or ask in several statements";
            return ControlFlow::Break(message.to_owned());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<String> {
        self.relations.push(relation.clone());
        if self.relations.len() > MAX_RELATIONS {
            return ControlFlow::Break(format!("the statement names views in more than {MAX_RELATIONS} places"));
        }
        ControlFlow::Continue(())
    }

    /// Each column that is cubed doubles the groups, and each further set multiplies them.
    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        match expr {
            Expr::Cube(columns) => self.cubed += columns.len(),
            Expr::Rollup(_) | Expr::GroupingSets(_) => self.grouping_sets += 1,
            _ => return ControlFlow::Continue(()),
        }
        if self.cubed > MAX_CUBE || self.grouping_sets > 1 || self.grouping_sets > 0 && self.cubed > 0 {
            let message =
                format!("a statement may use one ROLLUP or GROUPING SETS, or CUBE with up to {MAX_CUBE} columns");
            return ControlFlow::Break(message);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<String> {
        let is_function = matches!(
            factor,
            TableFactor::Table { args: Some(_), .. } | TableFactor::Function { .. } | TableFactor::TableFunction { .. }
        );
        if is_function {
            return ControlFlow::Break(format!("there are no table functions; {}", all_views()));
        }
        ControlFlow::Continue(())
    }
}

/// How many columns an item of a `SELECT` is made of.
fn columns_of(item: &impl Visit) -> u64 {
    let mut count = 0;
    let _ = visit_expressions(item, |expr| {
        count += u64::from(matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)));
        ControlFlow::<()>::Continue(())
    });
    count
}

/// As the planner reads it: without quotes in lower case.
fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

fn bare_name(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [part] => part.as_ident().map(folded),
        _ => None,
    }
}

fn normal(name: &ObjectName) -> String {
    let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident().map(folded)).collect();
    parts.join(".")
}

fn all_views() -> String {
    let names: Vec<&str> = VIEWS.iter().map(|view| view.name).collect();
    format!("the views are {}", names.join(", "))
}

fn unknown_view(source: &Text<'_>, name: &ObjectName) -> SqlProblem {
    let first = name.0.first().and_then(|part| part.as_ident());
    let last = name.0.last().and_then(|part| part.as_ident());
    let range = match (first, last) {
        (Some(first), Some(last)) => source.at(first.span.start).start..source.at(last.span.end).start,
        _ => source.whole(),
    };
    let written = normal(name);
    let own = last.map(folded).unwrap_or_default();
    let meant = nearest(&own, VIEWS.iter().map(|view| view.name));
    let hint = meant.map_or_else(all_views, |meant| format!("did you mean `{meant}`?"));
    SqlProblem { range, message: format!("there is no view `{written}`; {hint}"), suggestion: meant.map(str::to_owned) }
}
