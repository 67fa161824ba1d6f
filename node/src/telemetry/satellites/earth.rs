//! From where a satellite is in space to how it is seen from a place on earth. Kilometres and radians.
//!
//! - Sidereal time: the expression of IAU 1982 (Vallado, *Fundamentals of Astrodynamics and Applications*, 4th ed.,
//!   equation 3-47), with UTC for UT1: they differ by less than 0.9 s, in which the earth turns by less than 0.42 km.
//! - From TEME (true equator, mean equinox), in which SGP4 answers, to the earth's own frame: a turn by the sidereal time
//!   (Vallado, Crawford, Hujsak and Kelso, *Revisiting Spacetrack Report #3*, AIAA 2006-6753, appendix C), without the
//!   motion of the pole, which is below 0.02 km.
//! - A place: the ellipsoid of WGS 84 (NIMA TR8350.2, table 3.1).
//!
//! Element sets themselves are good to a kilometre or so on the day that they are made.

use chrono::{DateTime, Utc};

use almanac_schemas::node::Coordinates;

/// The semi-major axis of WGS 84.
const RADIUS: f64 = 6378.137;
/// Its flattening.
const FLATTENING: f64 = 1.0 / 298.257_223_563;

/// A point or a direction, along x, y and z.
pub(super) type Vector = [f64; 3];

/// A place from which the sky is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// In the earth's own frame.
    position: Vector,
    /// Straight up: the normal of the ellipsoid.
    up: Vector,
}

/// How a satellite is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seen {
    /// How far away it is.
    pub(super) range_km: f64,
    /// How high over the horizon, in degrees.
    pub(super) elevation_deg: f64,
}

impl Place {
    /// The place at these coordinates.
    pub(super) fn at(coordinates: &Coordinates) -> Self {
        let (latitude, longitude) = (coordinates.latitude.to_radians(), coordinates.longitude.to_radians());
        let height = coordinates.elevation / 1000.0;
        let eccentricity_squared = FLATTENING * (2.0 - FLATTENING);
        // The radius of curvature in the prime vertical.
        let normal = RADIUS / (1.0 - eccentricity_squared * latitude.sin().powi(2)).sqrt();
        let up = [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()];
        let position = [
            (normal + height) * up[0],
            (normal + height) * up[1],
            (normal * (1.0 - eccentricity_squared) + height) * up[2],
        ];
        Self { position, up }
    }

    /// How a satellite is seen from here that is at this point of the earth's own frame.
    pub(super) fn see(&self, satellite: Vector) -> Seen {
        let way = [
            satellite[0] - self.position[0],
            satellite[1] - self.position[1],
            satellite[2] - self.position[2],
        ];
        let range_km = dot(way, way).sqrt();
        let elevation_deg = (dot(way, self.up) / range_km).clamp(-1.0, 1.0).asin().to_degrees();
        Seen { range_km, elevation_deg }
    }
}

/// By how much the earth has turned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    sin: f64,
    cos: f64,
}

impl Turn {
    /// Its turn at an instant.
    pub(super) fn at(instant: DateTime<Utc>) -> Self {
        let (sin, cos) = sidereal_time(instant).sin_cos();
        Self { sin, cos }
    }

    /// A point of TEME in the earth's own frame.
    pub(super) fn to_earth(self, [x, y, z]: Vector) -> Vector {
        [self.cos * x + self.sin * y, self.cos * y - self.sin * x, z]
    }
}

/// Greenwich mean sidereal time, as an angle.
fn sidereal_time(instant: DateTime<Utc>) -> f64 {
    /// J2000, 2000-01-01T12:00:00, in seconds since 1970.
    const J2000: i64 = 946_728_000;
    /// A Julian century of 36,525 days, in seconds.
    const CENTURY: f64 = 36_525.0 * 86_400.0;
    let whole = f64::from(i32::try_from(instant.timestamp() - J2000).unwrap_or(i32::MAX));
    let t = (whole + f64::from(instant.timestamp_subsec_nanos()) / 1e9) / CENTURY;
    let seconds = 67_310.548_41 + (876_600.0 * 3600.0 + 8_640_184.812_866) * t + 0.093_104 * t.powi(2)
        - 6.2e-6 * t.powi(3);
    // A day of 86,400 s is a whole turn.
    (seconds / 86_400.0).rem_euclid(1.0) * std::f64::consts::TAU
}

fn dot(one: Vector, other: Vector) -> f64 {
    one[0] * other[0] + one[1] * other[1] + one[2] * other[2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coordinates(latitude: f64, longitude: f64, elevation: f64) -> Coordinates {
        Coordinates { latitude, longitude, elevation }
    }

    fn close(one: f64, other: f64, within: f64) {
        assert!((one - other).abs() <= within, "{one} is not {other}");
    }

    #[test]
    fn sidereal_time_is_that_of_the_book() {
        // Vallado, example 3-5: 1992-08-20T12:14:00 UT1 is 152.578 787 886 degrees.
        let instant = "1992-08-20T12:14:00Z".parse().unwrap();
        close(sidereal_time(instant).to_degrees(), 152.578_787_886, 1e-6);
    }

    #[test]
    fn a_place_is_where_the_ellipsoid_is() {
        let equator = Place::at(&coordinates(0.0, 0.0, 0.0));
        close(equator.position[0], 6378.137, 1e-9);
        // The semi-minor axis.
        close(Place::at(&coordinates(90.0, 0.0, 0.0)).position[2], 6_356.752_314_2, 1e-6);
        // Vallado, example 3-1: Mount Evans, 39.586667 N, 105.640 W, 4,347.667 m.
        let place = Place::at(&coordinates(39.586_667, -105.64, 4347.667)).position;
        close((place[0].powi(2) + place[1].powi(2)).sqrt(), 4_925.429_8, 1e-3);
        close(place[2], 4_045.493_7, 1e-3);
    }

    #[test]
    fn what_is_overhead_is_overhead() {
        let place = Place::at(&coordinates(51.5, -0.13, 35.0));
        let above = [0, 1, 2].map(|axis| place.position[axis] + 550.0 * place.up[axis]);
        let seen = place.see(above);
        close(seen.range_km, 550.0, 1e-6);
        close(seen.elevation_deg, 90.0, 1e-4);
        let below = place.see([0.0, 0.0, 0.0]);
        assert!(below.elevation_deg < -89.0);
    }
}
