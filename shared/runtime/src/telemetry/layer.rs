//! The layer that writes the lines.

use std::fmt;
use std::io::Write;

use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use crate::Clock;

/// The longest line. Fields are bounded one by one; many large ones together lose the metadata.
const MAX_LINE_BYTES: usize = 64 * 1024;

const NANOS_PER_MILLI: i128 = 1_000_000;

const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Writes each event as one line of JSON.
pub struct JsonLayer<W> {
    service: &'static str,
    clock: Clock,
    writer: W,
}

impl<W> JsonLayer<W> {
    /// A layer that writes what `service` has to say.
    #[must_use]
    pub const fn new(service: &'static str, clock: Clock, writer: W) -> Self {
        Self { service, clock, writer }
    }
}

impl<W> fmt::Debug for JsonLayer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonLayer").field("service", &self.service).finish_non_exhaustive()
    }
}

impl<S, W> Layer<S> for JsonLayer<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            record.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut values = Map::new();
        values.insert("target".to_owned(), event.metadata().target().into());
        let spans = context.event_scope(event).into_iter();
        for span in spans.flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<Fields>() {
                values.extend(fields.values.clone());
            }
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        values.append(&mut fields.values);
        let line = Line::new(self, *event.metadata().level(), values).render();
        // There is nobody left to tell when the log itself cannot be written.
        let _unwritable = self.writer.make_writer_for(event.metadata()).write_all(&line);
    }
}

/// One line, in the order in which its members are written.
#[derive(Serialize)]
struct Line {
    timestamp: String,
    level: &'static str,
    message: Value,
    service: &'static str,
    #[serde(rename = "traceId", skip_serializing_if = "Option::is_none")]
    trace_id: Option<Value>,
    #[serde(rename = "spanId", skip_serializing_if = "Option::is_none")]
    span_id: Option<Value>,
    #[serde(rename = "userId", skip_serializing_if = "Option::is_none")]
    user_id: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<LoggedError>,
    metadata: Map<String, Value>,
}

#[derive(Serialize)]
struct LoggedError {
    name: Value,
    message: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<Value>,
}

impl Line {
    fn new<W>(layer: &JsonLayer<W>, level: Level, mut values: Map<String, Value>) -> Self {
        Self {
            timestamp: timestamp(layer.clock.now_unix_ms()),
            level: level_name(level),
            message: take(&mut values, "message").unwrap_or_else(|| Value::String(String::new())),
            service: layer.service,
            trace_id: take(&mut values, "trace_id"),
            span_id: take(&mut values, "span_id"),
            user_id: take(&mut values, "user_id"),
            error: take_error(&mut values),
            metadata: values,
        }
    }

    fn render(mut self) -> Vec<u8> {
        let mut line = self.to_bytes();
        if line.len() > MAX_LINE_BYTES {
            let target = self.metadata.remove("target");
            self.metadata.clear();
            self.metadata.extend(target.map(|target| ("target".to_owned(), target)));
            self.metadata.insert("metadata_cut".to_owned(), true.into());
            line = self.to_bytes();
        }
        line.push(b'\n');
        line
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings, numbers and booleans always serialise")
    }
}

/// Takes a field out as text; one that was recorded as a number is written as text too.
fn take(values: &mut Map<String, Value>, name: &str) -> Option<Value> {
    values.remove(name).map(|value| match value {
        Value::String(text) => Value::String(text),
        other => Value::String(other.to_string()),
    })
}

fn take_error(values: &mut Map<String, Value>) -> Option<LoggedError> {
    let whole = take(values, "error");
    let name = take(values, "error.name");
    let message = take(values, "error.message").or(whole);
    let stack = take(values, "error.stack");
    if name.is_none() && message.is_none() && stack.is_none() {
        return None;
    }
    Some(LoggedError {
        name: name.unwrap_or_else(|| "Error".into()),
        message: message.unwrap_or_else(|| "".into()),
        stack,
    })
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

/// ISO 8601 in UTC with milliseconds.
fn timestamp(unix_ms: i64) -> String {
    let nanos = i128::from(unix_ms) * NANOS_PER_MILLI;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos);
    let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(TIMESTAMP).expect("every component of the format exists in a date and time")
}
