//! The report as a page, with plots: one file that needs no other.

use std::fmt::Write;

use comfy_table::Table;
use serde_json::{Map, Value};

use crate::plot::{Line, over_time, percentiles};

/// The parts of a scenario's figures that are plotted, not told.
pub(crate) const PLOTTED: [&str; 2] = ["course", "curves"];

const HEAD: &str = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Quittance: what the pipeline does on this machine</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 800px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; font-size: 13px } td { border-top: 1px solid #ddd; padding: 2px 12px 2px 0; vertical-align: top }
td:last-child { font-family: ui-monospace, monospace; overflow-wrap: anywhere } svg { max-width: 100%; height: auto }
</style></head><body>
";

/// The whole page.
pub(crate) fn page(machine: &str, scenarios: &Map<String, Value>, violations: &[String]) -> String {
    let mut html = String::from(HEAD);
    let _ =
        writeln!(html, "<h1>What the pipeline does on this machine</h1>\n<p>{}</p>", text(machine));
    for (name, figures) in scenarios {
        let _ = writeln!(html, "<h2>{}</h2>", text(name));
        for svg in plots(figures) {
            let _ = writeln!(html, "<p>{svg}</p>");
        }
        let _ = writeln!(html, "<table>");
        for (figure, value) in told(figures) {
            let _ = writeln!(html, "<tr><td>{}</td><td>{}</td></tr>", text(&figure), text(&value));
        }
        let _ = writeln!(html, "</table>");
    }
    let _ = writeln!(html, "<h2>Promises that were broken</h2>");
    match violations {
        [] => html.push_str("<p>None.</p>\n"),
        some => some.iter().for_each(|it| {
            let _ = writeln!(html, "<p>{}</p>", text(it));
        }),
    }
    html.push_str("</body></html>\n");
    html
}

/// A scenario's figures with their names, without what is plotted.
pub(crate) fn told(figures: &Value) -> Vec<(String, String)> {
    match figures {
        Value::Object(figures) => figures
            .iter()
            .filter(|(name, _)| !PLOTTED.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.to_string()))
            .collect(),
        Value::Array(steps) => (1..)
            .zip(steps)
            .map(|(number, step): (usize, _)| (number.to_string(), step.to_string()))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// Every scenario's figures as a table for a terminal.
pub(crate) fn table(scenarios: &Map<String, Value>) -> Table {
    let mut table = Table::new();
    table.set_header(["", "figure", "value"]);
    for (name, figures) in scenarios {
        for (figure, value) in told(figures) {
            table.add_row([name, &figure, &value]);
        }
    }
    table
}

fn plots(figures: &Value) -> Vec<String> {
    let course = |name: &'static str| {
        let values = figures["course"][name].as_array()?;
        let points = (0u32..)
            .zip(values)
            .map(|(second, value)| (second.into(), value.as_f64().unwrap_or_default()));
        Some(Line { name, points: points.collect() })
    };
    let curve = |name: &'static str| {
        let steps = figures["curves"][name].as_array()?;
        let points = steps.iter().map(|step| {
            (step[0].as_f64().unwrap_or_default(), step[1].as_f64().unwrap_or_default())
        });
        Some(Line { name, points: points.collect() })
    };
    let over_times = [
        ("payments and webhooks a second", &["accepted", "settled", "webhooks"][..]),
        ("payments that are not over", &["backlog"]),
        ("payments in a transaction", &["payments_per_transaction"]),
    ];
    let mut plots = Vec::new();
    for (title, names) in over_times {
        let lines: Vec<Line> = names.iter().filter_map(|name| course(name)).collect();
        if !lines.is_empty() {
            plots.push(over_time(title, &lines));
        }
    }
    for (title, name) in [
        ("milliseconds to the answer", "accept"),
        ("milliseconds from accepted to settled", "settle"),
    ] {
        plots.extend(curve(name).map(|line| percentiles(title, &[line])));
    }
    plots
}

fn text(of: &str) -> String {
    of.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_page_stands_alone_and_tells_everything() {
        let figures = json!({
            "rate_per_s": 7,
            "course": { "accepted": [1.0, 2.0], "settled": [0.0, 3.0], "backlog": [1.0, 0.0] },
            "curves": { "settle": [[0.0, 1.0], [0.99, 250.0]] },
        });
        let scenarios = Map::from_iter([
            ("settle".to_owned(), figures),
            ("scale".to_owned(), json!([{"processes": 4}])),
        ]);
        let html =
            page("2 cores of <something>", &scenarios, &["settle: 1 payment is lost".to_owned()]);

        assert_eq!(html.matches("<svg").count(), 3);
        for part in
            ["2 cores of &lt;something&gt;", "rate_per_s", "{\"processes\":4}", "1 payment is lost"]
        {
            assert!(html.contains(part), "{part}");
        }
        assert!(
            !html.contains("src=") && !html.contains("<script") && !html.contains("<td>course")
        );
    }
}
