//! Text as HTML.

use serde_json::Value;

/// Text in which nothing is markup.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}

/// Paragraphs, with code between backticks: as much of Markdown as the document uses.
pub(crate) fn prose(text: &str) -> String {
    let paragraphs = text.split("\n\n").filter(|paragraph| !paragraph.is_empty());
    paragraphs.map(|paragraph| format!("<p>{}</p>\n", with_code(paragraph))).collect()
}

fn with_code(text: &str) -> String {
    let mut parts = text.split('`').map(escaped);
    let mut whole = parts.next().unwrap_or_default();
    // What stands behind an odd number of backticks is code.
    for (index, part) in parts.enumerate() {
        whole.push_str(if index % 2 == 0 { "<code>" } else { "</code>" });
        whole.push_str(&part);
    }
    whole
}

/// JSON, or text, that is unfolded by who wants to see it.
pub(crate) fn shown(what: &str, value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).expect("JSON is always JSON"),
    };
    let (what, text) = (escaped(what), escaped(&text));
    format!("<details><summary>{what}</summary><pre>{text}</pre></details>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup_but_code() {
        assert_eq!(
            prose("a `<b>` & \"c\"\n\nd"),
            "<p>a <code>&lt;b&gt;</code> &amp; &quot;c&quot;</p>\n<p>d</p>\n"
        );
    }
}
