//! Plots of a run.

use plotters::prelude::*;

use crate::common::output;
use crate::faults::{Fault, Incident};
use crate::samples::Sample;
use crate::world::Counts;

const SIZE: (u32, u32) = (1000, 320);
const FONT: (&str, u32) = ("sans-serif", 14);

/// One plot.
struct Plot<'a> {
    file: &'a str,
    title: &'a str,
    unit: &'a str,
    lines: Vec<(&'a str, Points)>,
}

/// Minutes since the start, and a value.
type Points = Vec<(f64, f64)>;

/// Draws all plots into `target/soak`. Returns the names of the files.
pub(crate) fn draw(samples: &[Sample], incidents: &[Incident]) -> Vec<String> {
    let memory = |process: usize| points(samples, |sample| sample.memory[process]);
    let rate = |of: fn(&Counts) -> u32| rates(samples, of);
    let plots = [
        Plot {
            file: "memory.svg",
            title: "Resident memory",
            unit: "MiB",
            lines: vec![("controller", memory(0)), ("token server", memory(1))],
        },
        Plot {
            file: "answers.svg",
            title: "Answers to holders of keys, and to forged secrets",
            unit: "per second",
            lines: vec![
                ("tokens", rate(|counts| counts.issued)),
                (
                    "forged secrets refused",
                    rate(|counts| counts.forged_refused),
                ),
            ],
        },
        Plot {
            file: "failures.svg",
            title: "Questions of holders of keys without a token",
            unit: "per second",
            lines: vec![
                ("no answer, or 503", rate(|c| c.unanswered + c.unavailable)),
                ("expired, replaced or deleted", rate(|c| c.rightly_refused)),
                ("not yet known", rate(|c| c.not_yet_known)),
                ("wrongly refused", rate(|c| c.wrongly_refused)),
            ],
        },
        Plot {
            file: "latency.svg",
            title: "Time of an answer to a holder of a key, 99th percentile",
            unit: "ms",
            lines: vec![("p99", points(samples, |sample| sample.p99_ms))],
        },
    ];
    for plot in &plots {
        plot.draw(incidents);
    }
    plots.map(|plot| plot.file.to_owned()).into()
}

fn points(samples: &[Sample], of: impl Fn(&Sample) -> Option<f64>) -> Points {
    let minutes = |sample: &Sample| sample.after.as_secs_f64() / 60.0;
    samples
        .iter()
        .filter_map(|sample| Some((minutes(sample), of(sample)?)))
        .collect()
}

/// The increase per second between samples.
fn rates(samples: &[Sample], of: fn(&Counts) -> u32) -> Points {
    let pairs = samples.iter().zip(samples.iter().skip(1));
    pairs
        .map(|(before, now)| {
            let seconds = now.after.as_secs_f64() - before.after.as_secs_f64();
            let added = f64::from(of(&now.counts) - of(&before.counts));
            (now.after.as_secs_f64() / 60.0, added / seconds)
        })
        .collect()
}

impl Plot<'_> {
    fn draw(&self, incidents: &[Incident]) {
        let path = output(&format!("soak/{}", self.file));
        let area = SVGBackend::new(&path, SIZE).into_drawing_area();
        area.fill(&WHITE).unwrap();
        let most = |of: fn(&(f64, f64)) -> f64| {
            let all = self.lines.iter().flat_map(|(_, points)| points);
            all.map(of).fold(f64::MIN_POSITIVE, f64::max)
        };
        let (minutes, top) = (most(|point| point.0), most(|point| point.1) * 1.1);
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(60)
            // The legend is beside the lines.
            .build_cartesian_2d(0.0..minutes * 1.3, 0.0..top)
            .unwrap();
        chart
            .configure_mesh()
            .x_desc("minutes")
            .y_desc(self.unit)
            .label_style(FONT)
            .light_line_style(WHITE)
            .draw()
            .unwrap();
        for (number, fault) in Fault::ALL.into_iter().enumerate() {
            let color = Palette99::pick(self.lines.len() + number).mix(0.5);
            let times = incidents.iter().filter(|incident| incident.fault == fault);
            let marks = times.map(|incident| {
                let minute = incident.after.as_secs_f64() / 60.0;
                PathElement::new([(minute, 0.0), (minute, top)], color)
            });
            chart
                .draw_series(marks)
                .unwrap()
                .label(fault.name())
                .legend(move |(x, y)| PathElement::new([(x + 10, y - 5), (x + 10, y + 5)], color));
        }
        for (number, (name, points)) in self.lines.iter().enumerate() {
            let color = Palette99::pick(number).to_rgba();
            chart
                .draw_series(LineSeries::new(
                    points.iter().copied(),
                    color.stroke_width(2),
                ))
                .unwrap()
                .label(*name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2))
                });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .label_font(FONT)
            .background_style(WHITE.mix(0.8))
            .draw()
            .unwrap();
        area.present().unwrap();
    }
}
