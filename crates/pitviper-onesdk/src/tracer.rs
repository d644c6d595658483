//! A tracer: unstarted, started, perhaps failed, ended.

use pitviper_agent::{Carrier, Field, Scalar, SpanContext};
use pitviper_model::{Attributes, Link, SpanKind, StatusCode, Value};

use crate::describe::{Attribute, Draft};
use crate::links::Linked;
use crate::{Begin, Current, Open, Spans};

/// What a tracer traces, as far as its life depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Recorded only within something else.
    Database,
    IncomingWebRequest,
    OutgoingWebRequest,
    IncomingRemoteCall,
    OutgoingRemoteCall,
    CustomService,
    OutgoingMessage,
    ReceiveMessage,
    ProcessMessage,
    InProcessLink,
}

impl Kind {
    /// Whether it may be told who called.
    pub(crate) fn takes_tag(self) -> bool {
        matches!(self, Self::IncomingWebRequest | Self::IncomingRemoteCall | Self::ProcessMessage)
    }

    /// Whether it can say who calls.
    pub(crate) fn gives_tag(self) -> bool {
        matches!(self, Self::OutgoingWebRequest | Self::OutgoingRemoteCall | Self::OutgoingMessage)
    }
}

enum Phase {
    Unstarted(Box<Unstarted>),
    /// `None` where nothing is recorded.
    Started(Option<Box<dyn Open>>),
}

struct Unstarted {
    draft: Draft,
    tag: Option<SpanContext>,
    link: Option<Linked>,
}

/// A tracer that has not ended.
pub(crate) struct Tracer {
    kind: Kind,
    phase: Phase,
    failed: bool,
    /// What was added after the start.
    added: Vec<Attribute>,
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer").field("kind", &self.kind).field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl Tracer {
    pub(crate) fn new(kind: Kind, draft: Draft) -> Self {
        let phase = Phase::Unstarted(Box::new(Unstarted { draft, tag: None, link: None }));
        Self { kind, phase, failed: false, added: Vec::new() }
    }

    /// What goes on at the other end of a link.
    pub(crate) fn linked(link: Linked) -> Self {
        let draft = crate::describe::in_process_link();
        let phase = Phase::Unstarted(Box::new(Unstarted { draft, tag: None, link: Some(link) }));
        Self { kind: Kind::InProcessLink, phase, failed: false, added: Vec::new() }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn is_started(&self) -> bool {
        matches!(self.phase, Phase::Started(_))
    }

    /// Says who called; only before the start. An unreadable tag, `None`, undoes one that was set.
    pub(crate) fn set_tag(&mut self, tag: Option<SpanContext>) -> bool {
        match &mut self.phase {
            Phase::Unstarted(unstarted) => {
                unstarted.tag = tag;
                true
            }
            Phase::Started(_) => false,
        }
    }

    /// Whether somebody said who called.
    pub(crate) fn has_tag(&self) -> bool {
        matches!(&self.phase, Phase::Unstarted(unstarted) if unstarted.tag.is_some())
    }

    /// Takes the trace that headers hand over, before the start.
    pub(crate) fn read_context(&mut self, headers: &[(String, String)]) {
        if let Phase::Unstarted(unstarted) = &mut self.phase
            && let Some(spans) = crate::spans()
            && let Some(found) = spans.agent().extract(&Headers(headers))
        {
            unstarted.tag = Some(found);
        }
    }

    /// Adds attributes, before the start or until the end. A key that is there already gets the new value,
    /// unless both are lists, which are joined: a header may come several times.
    pub(crate) fn add(&mut self, attributes: Vec<Attribute>) {
        match &mut self.phase {
            Phase::Unstarted(unstarted) => {
                attributes.into_iter().for_each(|new| join(&mut unstarted.draft.attributes, new));
            }
            Phase::Started(Some(open)) => {
                let is_new = |known: &Attribute, new: &[Attribute]| new.iter().any(|(key, _)| *key == known.0);
                attributes.iter().cloned().for_each(|new| join(&mut self.added, new));
                open.change(&mut |span| {
                    let changed = self.added.iter().filter(|known| is_new(known, &attributes));
                    changed.for_each(|(key, value)| span.set_value(key, value.clone()));
                });
            }
            Phase::Started(None) => {}
        }
    }

    /// Sets the status of an answer, and whether it is an error: to a client from 400 on, of a server from
    /// 500 on.
    pub(crate) fn set_status_code(&mut self, code: i32) {
        let is_error = code >= if self.kind == Kind::OutgoingWebRequest { 400 } else { 500 };
        let Phase::Started(Some(open)) = &self.phase else {
            return self.add(vec![("http.response.status_code".into(), Value::Int(code.into()))]);
        };
        open.change(&mut |span| {
            span.set_attribute("http.response.status_code", Scalar::Int(code.into()));
            if is_error {
                span.set_attribute("error.type", Scalar::Str(&code.to_string()));
                span.set_status(StatusCode::Error, "");
            }
        });
    }

    /// Starts it; whether it was not started before.
    pub(crate) fn start(&mut self, spans: &dyn Spans) -> bool {
        let Phase::Unstarted(unstarted) = &mut self.phase else { return false };
        let Unstarted { draft, tag, link } = &mut **unstarted;
        let current = spans.current();
        let open = match place(self.kind, tag.as_ref(), link.as_ref(), current.as_ref()) {
            None => None,
            Some(Place { parent, cause, nested }) => {
                let own = draft.service.as_ref().filter(|_| !nested);
                let begin = Begin {
                    name: &draft.name,
                    kind: if nested { SpanKind::Internal } else { draft.kind },
                    service: own.or(link.as_ref().and_then(|link| link.service.as_ref())),
                    parent,
                };
                let open = spans.start(&begin);
                if let Some(open) = &open {
                    open.change(&mut |span| {
                        draft.attributes.iter().for_each(|(key, value)| span.set_value(key, value.clone()));
                        if let Some(cause) = cause {
                            span.add_link(link_to(cause));
                        }
                    });
                }
                open
            }
        };
        self.phase = Phase::Started(open);
        true
    }

    /// Marks it as failed; whether that is allowed, which is once, between start and end.
    pub(crate) fn fail(&mut self, class: &str, message: &str) -> bool {
        let Phase::Started(open) = &self.phase else { return false };
        if std::mem::replace(&mut self.failed, true) {
            return false;
        }
        // As our own integrations name the types that Python has built in.
        let class = class.strip_prefix("builtins.").unwrap_or(class);
        if let Some(open) = open {
            open.change(&mut |span| {
                let mut attributes = Attributes::default();
                attributes.set("exception.type", class);
                attributes.set("exception.message", message);
                span.add_event("exception", None, attributes);
                span.set_attribute("error.type", Scalar::Str(class));
                span.set_status(StatusCode::Error, message);
            });
        }
        true
    }

    /// The context of what it records.
    pub(crate) fn context(&self) -> Option<SpanContext> {
        match &self.phase {
            Phase::Started(Some(open)) => Some(open.context()),
            _ => None,
        }
    }

    /// Ends it. One that was not started leaves nothing.
    pub(crate) fn end(self) {
        if let Phase::Started(Some(open)) = self.phase {
            open.end();
        }
    }
}

/// Headers as they were given, in any case.
struct Headers<'a>(&'a [(String, String)]);

impl<'a> Carrier for Headers<'a> {
    type Text = &'a str;

    fn get(&self, field: Field) -> Option<&'a str> {
        let found = self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(field.name()));
        found.map(|(_, value)| value.as_str())
    }
}

fn join(attributes: &mut Vec<Attribute>, (key, value): Attribute) {
    let known = attributes.iter_mut().find(|(known, _)| *known == key);
    match (known, value) {
        (Some((_, Value::Array(known))), Value::Array(more)) => known.extend(more),
        (Some((_, known)), value) => *known = value,
        (None, value) => attributes.push((key, value)),
    }
}

fn link_to(context: &SpanContext) -> Link {
    Link { trace_id: context.trace_id, span_id: context.span_id, flags: context.flags.into(), ..Link::default() }
}

/// Where a span belongs.
#[derive(Debug, PartialEq, Eq)]
struct Place<'a> {
    /// What it is part of, when that is not what is current.
    parent: Option<&'a SpanContext>,
    /// What it came about through, besides.
    cause: Option<&'a SpanContext>,
    /// The request that it stands for is recorded already, by another instrumentation around it.
    nested: bool,
}

/// Where a tracer's span belongs; `None` where it is not to be recorded.
fn place<'a>(
    kind: Kind,
    tag: Option<&'a SpanContext>,
    link: Option<&'a Linked>,
    current: Option<&'a Current>,
) -> Option<Place<'a>> {
    let below = Place { parent: None, cause: None, nested: false };
    let around = current.map(|current| &current.context);
    if let Some(link) = link {
        return Some(Place { parent: Some(&link.context), ..below });
    }
    match (kind, tag) {
        (Kind::Database, _) => around.map(|_| below),
        // The same request, seen by an instrumentation around this one, which has read the same header.
        (Kind::IncomingWebRequest, tag)
            if current.is_some_and(|current| {
                current.kind == Some(SpanKind::Server) && tag.is_none_or(|tag| tag.trace_id == current.context.trace_id)
            }) =>
        {
            Some(Place { nested: current.is_some_and(|current| current.service.is_none()), ..below })
        }
        // A message belongs to who sent it, and was received by who processes it.
        (_, Some(tag)) => Some(Place { parent: Some(tag), cause: around, ..below }),
        (_, None) => Some(below),
    }
}

#[cfg(test)]
mod tests {
    use pitviper_model::{SpanId, TraceId};

    use super::*;

    fn context(trace: u8, span: u8) -> SpanContext {
        SpanContext {
            trace_id: TraceId([trace; 16]),
            span_id: SpanId([span; 8]),
            flags: 1,
            is_remote: false,
            trace_state: None,
            baggage: None,
            local_root: SpanId::INVALID,
        }
    }

    #[test]
    fn who_calls_decides_where_a_tracer_belongs() {
        let tag = context(1, 1);
        let serving = Current { context: context(1, 2), kind: Some(SpanKind::Server), service: None };
        let other = Current { context: context(2, 3), kind: Some(SpanKind::Internal), service: None };
        let below = |nested| Some(Place { parent: None, cause: None, nested });

        assert_eq!(place(Kind::Database, None, None, None), None);
        assert_eq!(place(Kind::Database, None, None, Some(&other)), below(false));
        assert_eq!(place(Kind::CustomService, None, None, None), below(false));
        assert_eq!(place(Kind::IncomingWebRequest, Some(&tag), None, Some(&serving)), below(true));
        assert_eq!(place(Kind::IncomingWebRequest, None, None, Some(&serving)), below(true));
        let called = place(Kind::IncomingRemoteCall, Some(&tag), None, Some(&other)).unwrap();
        assert_eq!((called.parent, called.cause), (Some(&tag), Some(&other.context)));
        let link = Linked { context: context(4, 4), service: None };
        assert_eq!(place(Kind::InProcessLink, None, Some(&link), Some(&other)).unwrap().parent, Some(&link.context));
    }
}
