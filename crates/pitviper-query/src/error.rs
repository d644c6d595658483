//! Why a question was not answered.

use pitviper_store::StoreError;

use crate::search::SyntaxErrors;
use crate::time::TimeError;

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The search is not in the language.
    #[error("{0}")]
    Syntax(#[from] SyntaxErrors),
    /// A time or a time range is not usable.
    #[error("{parameter}: {source}")]
    Time {
        /// The parameter that held it.
        parameter: &'static str,
        /// What is wrong.
        source: TimeError,
    },
    /// A parameter has a value that is not allowed.
    #[error("{parameter}: {message}")]
    Parameter {
        /// The parameter.
        parameter: &'static str,
        /// What is wrong, and what is allowed.
        message: String,
    },
    /// What was asked for is not in the store.
    #[error("{what} is not known here")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// The statement is not valid, or not allowed.
    #[error("{0}")]
    Statement(SyntaxErrors),
    /// What was asked for needs more memory than it may take.
    #[error("{message}")]
    TooLarge {
        /// What is too large, and what to do.
        message: String,
    },
    /// What was asked for takes longer than it may.
    #[error("{message}")]
    TooSlow {
        /// How long that is, and what to do.
        message: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
