//! A line chart as SVG, with units and a legend. Markers and dashes distinguish the lines without colour.
//!
//! Left out: the content (`page.rs`).

use plotters::drawing::DrawingAreaErrorKind;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::bench::BenchError;

const SIZE: (u32, u32) = (760, 460);

/// The style of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum LineStyle {
    /// Dark, solid, discs.
    Disc,
    /// Lighter, solid, triangles.
    Triangle,
    /// Dark, dashed, no markers: the expected curve beside discs.
    Dashed,
    /// Lighter, dotted, no markers: the expected curve beside triangles.
    Dotted,
    /// Lightest, solid, crosses.
    Cross,
}

/// One line of a chart.
pub(in crate::bench) struct Line {
    pub(in crate::bench) name: String,
    pub(in crate::bench) look: LineStyle,
    pub(in crate::bench) points: Vec<(f64, f64)>,
}

/// A chart's title and axis labels.
pub(in crate::bench) struct Words {
    pub(in crate::bench) title: String,
    pub(in crate::bench) x: &'static str,
    pub(in crate::bench) y: &'static str,
}

impl LineStyle {
    const fn colour(self) -> RGBColor {
        match self {
            Self::Disc | Self::Dashed => RGBColor(16, 42, 92),
            Self::Triangle | Self::Dotted => RGBColor(190, 92, 30),
            Self::Cross => RGBColor(120, 120, 120),
        }
    }

    /// Lengths of dash and gap in pixels; none for a solid line.
    const fn dash(self) -> Option<(u32, u32)> {
        match self {
            Self::Disc | Self::Triangle | Self::Cross => None,
            Self::Dashed => Some((9, 5)),
            Self::Dotted => Some((2, 4)),
        }
    }
}

/// Draws a chart. Returns its SVG text.
pub(in crate::bench) fn draw(words: &Words, lines: &[Line]) -> Result<String, BenchError> {
    let mut svg = String::new();
    draw_into(&mut svg, words, lines).map_err(|error| BenchError::Chart(error.to_string()))?;
    Ok(svg)
}

fn draw_into(svg: &mut String, words: &Words, lines: &[Line]) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let all = || lines.iter().flat_map(|line| &line.points);
    let most = |part: fn(&(f64, f64)) -> f64| all().map(part).fold(0.0, f64::max);
    // Room for the legend above the lines.
    let (right, top) = (most(|point| point.0), most(|point| point.1) * 1.3);
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let text = |size: u32| ("sans-serif", size).into_font().color(&BLACK);
    let mut chart = ChartBuilder::on(&root)
        .caption(&words.title, text(17).pos(Pos::new(HPos::Center, VPos::Top)))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(68)
        .build_cartesian_2d(0.0..right * 1.02, 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc(words.x)
        .y_desc(words.y)
        .axis_desc_style(text(14))
        .label_style(text(13))
        .x_labels(8)
        .x_label_formatter(&|at| format!("{at:.0}"))
        .y_labels(8)
        .bold_line_style(RGBColor(215, 215, 215))
        .light_line_style(WHITE)
        .draw()?;
    for line in lines {
        let colour = line.look.colour();
        let points = || line.points.iter().copied();
        let anno = match line.look.dash() {
            None => chart.draw_series(LineSeries::new(points(), colour.stroke_width(2)))?,
            Some((dash, gap)) => chart.draw_series(DashedLineSeries::new(points(), dash, gap, colour.stroke_width(2)))?,
        };
        // The legend shows a short piece of the line, with its marker.
        anno.label(&line.name);
        let piece = move |(x, y)| EmptyElement::at((x, y)) + PathElement::new([(0, 0), (36, 0)], colour.stroke_width(2));
        match (line.look, line.look.dash()) {
            (_, Some((dash, gap))) => {
                anno.legend(move |(x, y)| DashedPathElement::new([(x, y), (x + 36, y)], dash, gap, colour.stroke_width(2)));
            }
            (LineStyle::Triangle, None) => {
                anno.legend(move |at| piece(at) + TriangleMarker::new((18, 0), 6, colour.filled()));
            }
            (LineStyle::Cross, None) => {
                anno.legend(move |at| piece(at) + Cross::new((18, 0), 4, colour.stroke_width(2)));
            }
            (_, None) => {
                anno.legend(move |at| piece(at) + Circle::new((18, 0), 4, colour.filled()));
            }
        }
        match line.look {
            LineStyle::Disc => drop(chart.draw_series(points().map(|at| Circle::new(at, 4, colour.filled())))?),
            LineStyle::Triangle => drop(chart.draw_series(points().map(|at| TriangleMarker::new(at, 6, colour.filled())))?),
            LineStyle::Cross => drop(chart.draw_series(points().map(|at| Cross::new(at, 4, colour.stroke_width(2))))?),
            LineStyle::Dashed | LineStyle::Dotted => {}
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .margin(10)
        .legend_area_size(44)
        .label_font(text(13))
        .background_style(WHITE.mix(0.9))
        .border_style(RGBColor(150, 150, 150))
        .draw()?;
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_names_everything_that_it_shows() {
        let words = Words { title: "Title".to_owned(), x: "errors [%]", y: "time [ms]" };
        let line = |name: &str, look| Line { name: name.to_owned(), look, points: vec![(0.0, 1.0), (30.0, 2.0), (60.0, 4.0)] };
        let lines = [
            line("discs", LineStyle::Disc),
            line("triangles", LineStyle::Triangle),
            line("dashes", LineStyle::Dashed),
            line("dots", LineStyle::Dotted),
        ];
        let svg = draw(&words, &lines).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for text in ["Title", "errors [%]", "time [ms]", "discs", "triangles", "dashes", "dots"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(svg.contains("<circle") && svg.contains("<polygon"));
    }
}
