//! The trace that a request or job belongs to, as W3C Trace Context writes it.

use std::fmt;
use std::str::FromStr;

use crate::id;

/// Length of `00-<32>-<16>-<2>`.
const TRACEPARENT_LEN: usize = 55;
const SAMPLED: u8 = 1;

/// A position in a trace (<https://www.w3.org/TR/trace-context/>). Displayed as a `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

/// The text is not a `traceparent`; start a new trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent")]
pub struct InvalidTraceparent;

impl TraceContext {
    /// The beginning of a new trace.
    #[must_use]
    pub fn new_root() -> Self {
        // The specification forbids zero ids; random ones are zero about never, and the bit makes it never.
        let trace_id = u128::from_be_bytes(id::random_bytes()) | 1;
        Self { trace_id, span_id: new_span_id(), flags: SAMPLED }
    }

    /// A step within the same trace.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span_id: new_span_id(), ..*self }
    }

    /// 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// 16 lower-case hexadecimal digits.
    #[must_use]
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span_id)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

impl FromStr for TraceContext {
    type Err = InvalidTraceparent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceparent> {
        parse(text).ok_or(InvalidTraceparent)
    }
}

fn parse(text: &str) -> Option<TraceContext> {
    // A later version may append fields, version 00 may not.
    let head = text.get(..TRACEPARENT_LEN)?;
    let rest = &text[TRACEPARENT_LEN..];
    let mut parts = head.split('-');
    let (version, trace_id) = (parts.next()?, parts.next()?);
    let (span_id, flags) = (parts.next()?, parts.next()?);
    let widths = [version.len(), trace_id.len(), span_id.len(), flags.len()];
    let digits = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let well_formed = widths == [2, 32, 16, 2]
        && parts.next().is_none()
        && [version, trace_id, span_id, flags].into_iter().all(digits)
        && version != "ff"
        && (rest.is_empty() || (version != "00" && rest.starts_with('-')));
    let trace_id = u128::from_str_radix(trace_id, 16).ok()?;
    let span_id = u64::from_str_radix(span_id, 16).ok()?;
    let flags = u8::from_str_radix(flags, 16).ok()?;
    (well_formed && trace_id != 0 && span_id != 0).then_some(TraceContext {
        trace_id,
        span_id,
        flags: flags & SAMPLED,
    })
}

fn new_span_id() -> u64 {
    u64::from_be_bytes(id::random_bytes()) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let trace: TraceContext = EXAMPLE.parse().unwrap();
        assert_eq!(trace.to_string(), EXAMPLE);
    }

    #[test]
    fn a_child_stays_in_the_trace() {
        let parent = TraceContext::new_root();
        let child = parent.child();
        assert_eq!(child.trace_id(), parent.trace_id());
        assert_ne!(child.span_id(), parent.span_id());
    }

    #[test]
    fn malformed_and_forbidden_values_are_refused() {
        let refused = [
            "",
            "00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473600f067aa0ba902b7--01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é",
        ];
        for text in refused {
            assert_eq!(text.parse::<TraceContext>(), Err(InvalidTraceparent), "{text}");
        }
    }

    #[test]
    fn a_later_version_may_carry_more() {
        let text = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert!(text.parse::<TraceContext>().is_ok());
    }
}
