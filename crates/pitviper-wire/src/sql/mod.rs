//! SQL statements without their literals, and a short name for each.
//!
//! Source: OpenTelemetry semantic conventions for databases, "Sanitization of db.query.text" and
//! "Generating query summary". [`Tokens`](token::Tokens) knows what is quoted and how in each dialect,
//! [`Text`](text::Text) writes the statement with `?` for its values, and
//! [`Summary`](summary::Summary) picks the operations and what they work on. The time is linear in the
//! statement's length: no token is read twice, and one without an end ends with the statement.

mod summary;
mod text;
mod token;

/// The longest statement that is read, in bytes; the rest is left out.
pub const MAX_STATEMENT_BYTES: usize = 16 * 1024;

/// How a database reads a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Double quotes hold names, dollar quotes and `E''` hold values, comments nest.
    Postgresql,
    /// Double quotes hold values, a backslash escapes, `#` begins a comment. MariaDB as well.
    Mysql,
    /// Double quotes hold names, or values where no such column exists; brackets hold names.
    Sqlite,
}

impl Dialect {
    /// The dialect of a database by its `db.system.name`.
    #[must_use]
    pub fn of(system: &str) -> Option<Self> {
        match system {
            "postgresql" => Some(Self::Postgresql),
            "mysql" | "mariadb" => Some(Self::Mysql),
            "sqlite" => Some(Self::Sqlite),
            _ => None,
        }
    }
}

/// What is told of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its text with `?` for each literal, without comments, lists of values shortened to one.
    pub text: String,
    /// Its operations and their tables, such as `SELECT post user`; `SQL` when there is none.
    pub summary: String,
    /// Its first operation in upper case, such as `SELECT`; empty when there is none.
    pub operation: String,
}

/// Describes a statement. Only its first [`MAX_STATEMENT_BYTES`] count.
#[must_use]
pub fn describe(statement: &str, dialect: Dialect) -> Description {
    let statement = &statement[..statement.floor_char_boundary(MAX_STATEMENT_BYTES)];
    let mut text = text::Text::new(statement, dialect);
    let mut summary = summary::Summary::default();
    for token in token::Tokens::new(statement, dialect) {
        let token = text.push(token);
        summary.push(&token);
    }
    let (summary, operation) = summary.finish();
    Description { text: text.finish(), summary, operation }
}

#[cfg(test)]
mod tests;
