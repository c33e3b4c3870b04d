//! Plots as SVG.
#![expect(clippy::float_arithmetic, reason = "coordinates; no amount is among them")]

use plotters::prelude::*;

/// A named line.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Width and height, in pixels.
const SIZE: (u32, u32) = (760, 260);

/// Told apart without red and green.
const COLOURS: [RGBColor; 3] =
    [RGBColor(0, 114, 178), RGBColor(230, 159, 0), RGBColor(0, 158, 115)];

/// What happened in each second.
pub(crate) fn over_time(title: &str, lines: &[Line]) -> String {
    draw(title, "seconds", lines, &|second| format!("{second:.0}"))
}

/// How long the slowest part took, of a half, a tenth, a hundredth…: each step to the right is a tenth of
/// the requests before.
pub(crate) fn percentiles(title: &str, lines: &[Line]) -> String {
    let nines: Vec<Line> = lines
        .iter()
        .map(|line| Line {
            name: line.name,
            points: line.points.iter().map(|(share, ms)| (-(1.0 - share).log10(), *ms)).collect(),
        })
        .collect();
    draw(title, "share of requests", &nines, &|nines| {
        format!("{}%", 100.0 - 100.0 * 10f64.powf(-nines)).chars().take(6).collect::<String>()
    })
}

fn draw(title: &str, below: &str, lines: &[Line], label: &dyn Fn(&f64) -> String) -> String {
    let mut svg = String::new();
    // Writing into a string does not fail, and the ranges are never empty.
    plot(&mut svg, title, below, lines, label).expect("a plot can be drawn");
    svg
}

fn plot(
    svg: &mut String,
    title: &str,
    below: &str,
    lines: &[Line],
    label: &dyn Fn(&f64) -> String,
) -> Result<(), Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let widest = points().map(|(x, _)| *x).fold(1.0, f64::max);
    let highest = points().map(|(_, y)| *y).fold(1.0, f64::max) * 1.1;
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 15))
        .margin(8)
        .x_label_area_size(34)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..widest, 0.0..highest)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(below)
        .x_label_formatter(&|x| label(x))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle().copied()) {
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)))?
            .label(line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    if lines.len() > 1 {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .draw()?;
    }
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_its_title_its_lines_and_their_names() {
        let line = |name| Line { name, points: vec![(0.0, 1.0), (1.0, 300.0)] };
        let svg = over_time("payments a second", &[line("accepted"), line("settled")]);
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for part in ["payments a second", "accepted", "settled"] {
            assert!(svg.contains(part), "{part}");
        }
        // Each as itself, and beside its name.
        assert_eq!(svg.matches("stroke-width=\"2\"").count(), 4);
    }

    #[test]
    fn nothing_can_be_plotted_too() {
        assert!(percentiles("nothing", &[]).contains("nothing"));
    }
}
