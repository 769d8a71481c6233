//! Straight lines through measurements.

/// `intercept + slope * x`.
#[derive(Clone, Copy)]
pub(crate) struct Line {
    intercept: f64,
    pub(crate) slope: f64,
}

impl Line {
    /// The line of least squares through two or more points.
    pub(crate) fn through(points: &[(f64, f64)]) -> Self {
        let mean = |of: fn(&(f64, f64)) -> f64| {
            points.iter().map(of).sum::<f64>() / points.iter().map(|_| 1.0).sum::<f64>()
        };
        let (mean_x, mean_y) = (mean(|(x, _)| *x), mean(|(_, y)| *y));
        let together: f64 = points
            .iter()
            .map(|(x, y)| (x - mean_x) * (y - mean_y))
            .sum();
        let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
        let slope = together / spread;
        Self {
            intercept: mean_y - slope * mean_x,
            slope,
        }
    }

    /// The value of the line at `x`.
    pub(crate) fn at(self, x: f64) -> f64 {
        self.slope.mul_add(x, self.intercept)
    }
}
