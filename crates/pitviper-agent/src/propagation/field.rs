//! The fields that contexts travel in, and where they are read from.

/// Something that fields are read from: headers of a request, properties of a message, an environment.
pub trait Carrier {
    /// What a field's text comes as.
    type Text: AsRef<str>;

    /// The text of a field; several of one name are joined by commas.
    fn get(&self, field: Field) -> Option<Self::Text>;
}

macro_rules! fields {
    ($($name:ident = $header:literal),* $(,)?) => {
        /// A field that contexts travel in.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Field {
            $(#[doc = concat!("`", $header, "`")] $name,)*
        }

        impl Field {
            /// All of them, by number.
            pub const ALL: [Self; [$($header),*].len()] = [$(Self::$name),*];

            /// Its name as a header, in lower case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $header,)*
                }
            }
        }
    };
}

fields! {
    Traceparent = "traceparent",
    Tracestate = "tracestate",
    Baggage = "baggage",
    DatadogTraceId = "x-datadog-trace-id",
    DatadogParentId = "x-datadog-parent-id",
    DatadogPriority = "x-datadog-sampling-priority",
    DatadogOrigin = "x-datadog-origin",
    DatadogTags = "x-datadog-tags",
    B3 = "b3",
    B3TraceId = "x-b3-traceid",
    B3SpanId = "x-b3-spanid",
    B3Sampled = "x-b3-sampled",
    B3Flags = "x-b3-flags",
    Dynatrace = "x-dynatrace",
}

/// A bit for each length that a name has.
const LENGTHS: u32 = {
    let (mut bits, mut index) = (0, 0);
    while index < Field::ALL.len() {
        bits |= 1 << Field::ALL[index].name().len();
        index += 1;
    }
    bits
};

impl Field {
    /// The field of a header's name, in any case.
    #[must_use]
    #[inline]
    pub fn of_header(name: &[u8]) -> Option<Self> {
        // Few headers begin like one of these, and few of those are as long.
        let first = *name.first()? | 0x20;
        if !matches!(first, b't' | b'b' | b'x') || name.len() >= 32 || LENGTHS & 1 << name.len() == 0 {
            return None;
        }
        Self::ALL.into_iter().find(|field| field.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether several fields of this name are one list.
    #[must_use]
    pub const fn is_list(self) -> bool {
        matches!(self, Self::Tracestate | Self::Baggage)
    }
}
