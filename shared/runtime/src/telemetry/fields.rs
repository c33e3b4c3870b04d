//! Collecting the fields of events and spans as JSON, within limits.

use std::error::Error;
use std::fmt::{self, Write};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};

/// The longest text kept of one field, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = 8 * 1024;

/// The most fields kept of one event or span.
const MAX_FIELDS: usize = 64;

/// The most causes told of one error.
const MAX_CAUSES: usize = 8;

/// Stands at the end of a text that was cut.
const CUT: &str = "…(cut)";

/// The fields of one event or span.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    pub(super) values: Map<String, Value>,
}

impl Fields {
    fn insert(&mut self, name: &str, value: Value) {
        if self.values.len() < MAX_FIELDS || self.values.contains_key(name) {
            self.values.insert(name.to_owned(), value);
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field.name(), Value::String(bounded(format_args!("{value:?}"))));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field.name(), Value::String(bounded(format_args!("{value}"))));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field.name(), value.into());
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.insert(field.name(), Value::String(value.to_string()));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.insert(field.name(), Value::String(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no NaN and no infinity.
        let number = serde_json::Number::from_f64(value);
        self.insert(
            field.name(),
            number.map_or_else(|| Value::String(value.to_string()), Value::Number),
        );
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.insert(&format!("{}.name", field.name()), Value::String(type_name_of(value)));
        let message = bounded(format_args!("{value}"));
        self.insert(&format!("{}.message", field.name()), Value::String(message));
        if let Some(stack) = causes_of(value) {
            self.insert(&format!("{}.stack", field.name()), Value::String(stack));
        }
    }
}

/// Formats at most [`MAX_TEXT_BYTES`]; what comes after is not even formatted.
pub(super) fn bounded(text: fmt::Arguments<'_>) -> String {
    let mut out = Bounded { text: String::new(), limit: MAX_TEXT_BYTES };
    if out.write_fmt(text).is_err() {
        out.text.push_str(CUT);
    }
    out.text
}

/// The first word of the `Debug` form, which for derived implementations is the type's or variant's name. No more of
/// it: the rest may show what `Display` hides.
fn type_name_of(error: &dyn Error) -> String {
    let mut out = FirstWord::default();
    // The writer stops the formatting after the first word; that is not a failure.
    let _stopped = write!(out, "{error:?}");
    if out.word.is_empty() { "Error".to_owned() } else { out.word }
}

fn causes_of(error: &dyn Error) -> Option<String> {
    let causes = std::iter::successors(error.source(), |&cause| cause.source()).take(MAX_CAUSES);
    let lines: Vec<_> = causes.map(|cause| format!("caused by: {cause}")).collect();
    (!lines.is_empty()).then(|| bounded(format_args!("{}", lines.join("\n"))))
}

struct Bounded {
    text: String,
    limit: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = self.limit.saturating_sub(self.text.len());
        if part.len() <= room {
            self.text.push_str(part);
            return Ok(());
        }
        self.text.push_str(&part[..part.floor_char_boundary(room)]);
        Err(fmt::Error)
    }
}

#[derive(Default)]
struct FirstWord {
    word: String,
}

impl Write for FirstWord {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
        let room = MAX_NAME_BYTES.saturating_sub(self.word.len());
        self.word.push_str(&part[..end.min(room)]);
        if end < part.len() || end > room { Err(fmt::Error) } else { Ok(()) }
    }
}

/// The longest name of an error's type, in bytes.
const MAX_NAME_BYTES: usize = 64;
