//! What can be named in a trigger, and of which type it is. Each field has one, whatever a provider sends.

use std::fmt;

/// What measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// The terminal of a satellite link.
    Dish,
    /// The weather at the node's coordinates.
    Weather,
    /// The satellites that the node can see.
    Satellites,
    /// The node's network interfaces.
    Network,
    /// The node's machine.
    Host,
    /// Commands and files that the node's own configuration names; what they are called is known there alone.
    Local,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Dish, Self::Weather, Self::Satellites, Self::Network, Self::Host, Self::Local];

    /// The one of a word.
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == word)
    }

    /// The word for it, with which the names of its fields begin.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dish => "dish",
            Self::Weather => "weather",
            Self::Satellites => "satellites",
            Self::Network => "network",
            Self::Host => "host",
            Self::Local => "local",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// A number; units are in the names, or said.
    Number,
    /// True or false.
    Truth,
    /// A text.
    Text,
}

impl FieldType {
    /// The word for it, with its article.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Truth => "true or false",
            Self::Text => "a text",
        }
    }
}

/// Something that is measured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Field {
    /// What measures it.
    pub provider: Provider,
    /// Its name there.
    pub name: String,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.provider, self.name)
    }
}

/// A field that is known, with its type and what it says.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// What measures it.
    pub provider: Provider,
    /// Its name there.
    pub name: &'static str,
    /// Its type.
    pub is: FieldType,
    /// What it says, with its unit where the name has none.
    pub about: &'static str,
}

macro_rules! known {
    ($($provider:ident { $($name:ident: $is:ident, $about:literal;)* })*) => {
        /// All fields but those of [`Provider::Local`], which are numbers and known on the node alone.
        pub const KNOWN: &[Known] = &[$($(Known {
            provider: Provider::$provider,
            name: stringify!($name),
            is: FieldType::$is,
            about: $about,
        },)*)*];
    };
}

known! {
    Dish {
        uplink_throughput_bps: Number, "bits per second towards the satellite";
        downlink_throughput_bps: Number, "bits per second from the satellite";
        pop_ping_latency_ms: Number, "round trip to the point of presence, in milliseconds";
        pop_ping_drop_rate: Number, "share of those pings that are lost, from 0 to 1";
        boresight_azimuth_deg: Number, "where the dish points to, in degrees from north";
        boresight_elevation_deg: Number, "how high the dish points, in degrees over the horizon";
        currently_obstructed: Truth, "whether something stands in the way now";
        fraction_obstructed: Number, "share of the sky that is obstructed, from 0 to 1";
        uptime_s: Number, "since when the terminal is up, in seconds";
        software_version: Text, "the terminal's software";
        hardware_version: Text, "the terminal's hardware";
    }
    Weather {
        id: Number, "the condition, as OpenWeatherMap numbers them";
        main: Text, "the condition, such as Rain";
        description: Text, "the condition in words";
        temp: Number, "temperature, in degrees Celsius";
        temp_min: Number, "lowest temperature nearby, in degrees Celsius";
        temp_max: Number, "highest temperature nearby, in degrees Celsius";
        pressure: Number, "air pressure, in hectopascals";
        humidity: Number, "relative humidity, in percent";
        clouds: Number, "cloudiness, in percent";
        rain_1h: Number, "rain of the last hour, in millimetres";
        rain_3h: Number, "rain of the last three hours, in millimetres";
        snow_1h: Number, "snow of the last hour, in millimetres";
        snow_3h: Number, "snow of the last three hours, in millimetres";
        visibility: Number, "how far one sees, in metres";
        wind_speed: Number, "metres per second";
        wind_deg: Number, "where the wind comes from, in degrees from north";
        wind_gust: Number, "metres per second";
    }
    Satellites {
        visible: Number, "how many are in the field of view, at 25 degrees and above";
        range_min_m: Number, "slant range of the nearest one in view, in metres";
        range_max_m: Number, "slant range of the farthest one in view, in metres";
        range_mean_m: Number, "mean slant range of those in view, in metres";
        elevation_max_deg: Number, "elevation of the highest one, in degrees over the horizon";
        elevation_mean_deg: Number, "mean elevation of those in view, in degrees";
        visible_43: Number, "those of them in orbits of 43 degrees, to within one";
        range_min_43_m: Number, "slant range of the nearest one of these, in metres";
        range_max_43_m: Number, "slant range of the farthest one of these, in metres";
        range_mean_43_m: Number, "mean slant range of these, in metres";
        elevation_max_43_deg: Number, "elevation of the highest one of these, in degrees";
        elevation_mean_43_deg: Number, "mean elevation of these, in degrees";
        visible_53: Number, "those of them in orbits of 53 degrees, to within one";
        range_min_53_m: Number, "slant range of the nearest one of these, in metres";
        range_max_53_m: Number, "slant range of the farthest one of these, in metres";
        range_mean_53_m: Number, "mean slant range of these, in metres";
        elevation_max_53_deg: Number, "elevation of the highest one of these, in degrees";
        elevation_mean_53_deg: Number, "mean elevation of these, in degrees";
        visible_70: Number, "those of them in orbits of 70 degrees, to within one";
        range_min_70_m: Number, "slant range of the nearest one of these, in metres";
        range_max_70_m: Number, "slant range of the farthest one of these, in metres";
        range_mean_70_m: Number, "mean slant range of these, in metres";
        elevation_max_70_deg: Number, "elevation of the highest one of these, in degrees";
        elevation_mean_70_deg: Number, "mean elevation of these, in degrees";
        visible_97: Number, "those of them in orbits of 97.6 degrees, to within one";
        range_min_97_m: Number, "slant range of the nearest one of these, in metres";
        range_max_97_m: Number, "slant range of the farthest one of these, in metres";
        range_mean_97_m: Number, "mean slant range of these, in metres";
        elevation_max_97_deg: Number, "elevation of the highest one of these, in degrees";
        elevation_mean_97_deg: Number, "mean elevation of these, in degrees";
        visible_other: Number, "those of them in other orbits";
        range_min_other_m: Number, "slant range of the nearest one of these, in metres";
        range_max_other_m: Number, "slant range of the farthest one of these, in metres";
        range_mean_other_m: Number, "mean slant range of these, in metres";
        elevation_max_other_deg: Number, "elevation of the highest one of these, in degrees";
        elevation_mean_other_deg: Number, "mean elevation of these, in degrees";
    }
    Network {
        experiments_rx_bytes: Number, "bytes that runs' containers received while it was measured";
        experiments_tx_bytes: Number, "bytes that runs' containers sent while it was measured";
        experiments_rx_bps: Number, "bits per second that they receive";
        experiments_tx_bps: Number, "bits per second that they send";
        uplink_rx_bps: Number, "bits per second received on the default route's interface";
        uplink_tx_bps: Number, "bits per second sent on the default route's interface";
    }
    Host {
        load_1m: Number, "how many processes want a core, over a minute";
        memory_free_bytes: Number, "memory that programs can have";
        disk_free_bytes: Number, "what is free on the disk of the agent's state";
        uptime_s: Number, "since when the machine is up, in seconds";
    }
}

impl Known {
    /// The field of a name such as `dish.uptime_s`; those of `local` are numbers.
    pub fn find(provider: Provider, name: &str) -> Option<FieldType> {
        if provider == Provider::Local {
            return Some(FieldType::Number);
        }
        KNOWN.iter().find(|known| known.provider == provider && known.name == name).map(|known| known.is)
    }

    /// What a field says, with its unit where the name has none; none of `local`, and of what is not known.
    pub fn about(provider: Provider, name: &str) -> Option<&'static str> {
        KNOWN.iter().find(|known| known.provider == provider && known.name == name).map(|known| known.about)
    }

    /// Its name with that of its provider.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.provider, self.name)
    }
}
