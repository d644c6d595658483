//! Counts questions: which are waiting, running, answered, and given up on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::RwLock;
use pitviper_model::Durations;
use tracing::Span;

use crate::exposition::{Exposition, MetricsSource};

/// How a question ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With an answer.
    Answered,
    /// With an error, the asker's or ours.
    Failed,
    /// It ran for as long as a question may.
    TimedOut,
    /// The asker went away.
    Cancelled,
    /// It waited for its turn for as long as a question may.
    Refused,
}

impl Ended {
    const ALL: [(Self, &str); 5] = [
        (Self::Answered, "answered"),
        (Self::Failed, "failed"),
        (Self::TimedOut, "timed_out"),
        (Self::Cancelled, "cancelled"),
        (Self::Refused, "refused"),
    ];
}

/// Questions by kind: the route they came by, of which there are few.
#[derive(Debug, Default)]
pub(crate) struct Questions(RwLock<BTreeMap<String, Arc<Figures>>>);

#[derive(Debug, Default)]
struct Figures {
    waiting: AtomicU64,
    running: AtomicU64,
    ended: [AtomicU64; Ended::ALL.len()],
    durations: Durations,
}

impl Questions {
    /// A question has come and waits for its turn. Its mark, in the server's own traces, gets to know how it
    /// ended.
    pub(crate) fn ask(&self, kind: &str, mark: Span) -> Question {
        let known = self.0.read().get(kind).map(Arc::clone);
        let figures = known.unwrap_or_else(|| Arc::clone(self.0.write().entry(kind.to_owned()).or_default()));
        figures.waiting.fetch_add(1, Ordering::Relaxed);
        Question { figures, mark, began: None, ended: Ended::Cancelled }
    }
}

/// A question that is not answered yet. Dropped without a word it was cancelled while it waited, and failed
/// once it ran.
#[derive(Debug)]
#[must_use]
pub(crate) struct Question {
    figures: Arc<Figures>,
    mark: Span,
    began: Option<Instant>,
    ended: Ended,
}

impl Question {
    /// It is its turn.
    pub(crate) fn begin(&mut self) {
        self.began = Some(Instant::now());
        self.ended = Ended::Failed;
        self.figures.waiting.fetch_sub(1, Ordering::Relaxed);
        self.figures.running.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(mut self, ended: Ended) {
        self.ended = ended;
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let ended = Ended::ALL.iter().zip(&self.figures.ended).find(|((ended, _), _)| *ended == self.ended);
        if let Some(((ended, name), counter)) = ended {
            counter.fetch_add(1, Ordering::Relaxed);
            self.mark.record("outcome", *name);
            if matches!(ended, Ended::TimedOut | Ended::Refused) {
                self.mark.record("error.type", *name);
            }
        }
        // Last, so that who sees none running sees how they ended.
        match self.began {
            None => self.figures.waiting.fetch_sub(1, Ordering::Release),
            Some(began) => {
                self.figures.durations.record_since(began);
                self.figures.running.fetch_sub(1, Ordering::Release)
            }
        };
    }
}

impl MetricsSource for Questions {
    fn collect(&self, out: &mut Exposition) {
        let kinds = self.0.read().clone();
        let labels: Vec<[(&str, &str); 1]> = kinds.keys().map(|kind| [("kind", kind.as_str())]).collect();
        let figures = || labels.iter().map(|labels| &labels[..]).zip(kinds.values());
        let gauge = |value: fn(&Figures) -> &AtomicU64| -> Vec<(&[(&str, &str)], f64)> {
            figures().map(|(labels, figures)| (labels, value(figures).load(Ordering::Relaxed) as f64)).collect()
        };
        let help = "Questions that wait for their turn";
        out.gauge("pitviper_questions_waiting", help, &gauge(|figures| &figures.waiting));
        out.gauge("pitviper_questions_running", "Questions being answered", &gauge(|figures| &figures.running));
        let ended: Vec<([(&str, &str); 2], f64)> = kinds
            .iter()
            .flat_map(|(kind, figures)| {
                Ended::ALL.iter().zip(&figures.ended).map(move |((_, name), counter)| {
                    ([("kind", kind.as_str()), ("outcome", *name)], counter.load(Ordering::Relaxed) as f64)
                })
            })
            .collect();
        let ended: Vec<(&[(&str, &str)], f64)> = ended.iter().map(|(labels, value)| (&labels[..], *value)).collect();
        out.counter("pitviper_questions_total", "Questions by how they ended", &ended);
        let durations: Vec<_> = figures().map(|(labels, figures)| (labels, figures.durations.counts())).collect();
        out.durations("pitviper_question_duration_seconds", "Time questions ran", &durations);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_has_one_end() {
        let questions = Questions::default();
        let mut running = questions.ask("/search", Span::none());
        running.begin();
        let waiting = questions.ask("/search", Span::none());
        let mut text = Exposition::default();
        questions.collect(&mut text);
        let text = text.finish();
        assert!(text.contains("pitviper_questions_waiting{kind=\"/search\"} 1\n"), "{text}");
        assert!(text.contains("pitviper_questions_running{kind=\"/search\"} 1\n"), "{text}");
        running.end(Ended::Answered);
        drop(waiting);
        let mut text = Exposition::default();
        questions.collect(&mut text);
        let text = text.finish();
        for line in [
            "pitviper_questions_waiting{kind=\"/search\"} 0",
            "pitviper_questions_running{kind=\"/search\"} 0",
            "pitviper_questions_total{kind=\"/search\",outcome=\"answered\"} 1",
            "pitviper_questions_total{kind=\"/search\",outcome=\"cancelled\"} 1",
            "pitviper_question_duration_seconds_bucket{kind=\"/search\",le=\"+Inf\"} 1",
            "pitviper_question_duration_seconds_count{kind=\"/search\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
