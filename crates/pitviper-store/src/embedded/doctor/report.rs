//! What the doctor found, as data: printing it is somebody else's work.

use std::fmt;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing has to be done.
    Note,
    /// Something is not as it should be, and the server starts and answers right all the same.
    Warning,
    /// The server refuses to start, or answers without rows it once acknowledged.
    Damage,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Damage => "damage",
        })
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file, relative to the data directory, or what else it is about.
    pub place: String,
    /// What was found and what it means.
    pub what: String,
    /// What to do about it, or what was done.
    pub advice: String,
    /// Whether it has been mended.
    pub is_repaired: bool,
}

/// What a repair had to give up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The table the rows belonged to; of a log, all tables.
    pub table: &'static str,
    /// How many rows; `None` when nobody can tell.
    pub rows: Option<u64>,
    /// Earliest and latest start of the rows, in nanoseconds since the Unix epoch, where known.
    pub starts_ns: Option<(i64, i64)>,
}

/// The state of a data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// What was found, in the order in which it was looked for.
    pub findings: Vec<Finding>,
    /// What a repair had to give up.
    pub lost: Vec<Lost>,
    /// Whether a server had the directory meanwhile, so that nothing was repaired.
    pub is_in_use: bool,
    /// Segments that were looked at.
    pub segments: usize,
    /// Rows the manifest says there are in them.
    pub rows: u64,
    /// Whole writes found in the log.
    pub log_writes: u64,
    /// Of these, the ones that no segment holds yet.
    pub log_writes_unflushed: u64,
    /// Free room on the disk, in bytes, where the system tells.
    pub free_bytes: Option<u64>,
}

impl Diagnosis {
    /// The worst of what is still wrong; `None` when there is nothing left to do.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        let open = self.findings.iter().filter(|finding| !finding.is_repaired);
        open.map(|finding| finding.severity).filter(|severity| *severity > Severity::Note).max()
    }

    pub(super) fn add(
        &mut self,
        severity: Severity,
        place: impl Into<String>,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.push(severity, place.into(), what.into(), advice.into(), false);
    }

    pub(super) fn repaired(
        &mut self,
        severity: Severity,
        place: impl Into<String>,
        what: impl Into<String>,
        done: impl Into<String>,
    ) {
        self.push(severity, place.into(), what.into(), done.into(), true);
    }

    fn push(&mut self, severity: Severity, place: String, what: String, advice: String, is_repaired: bool) {
        self.findings.push(Finding { severity, place, what, advice, is_repaired });
    }
}
