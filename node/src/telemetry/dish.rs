//! The terminal of a satellite link: its local gRPC service, asked once a second.
//!
//! The terminal is a box in the local network that the agent trusts with nothing but figures: what it says is bounded,
//! and a figure that cannot be one is not measured.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use tonic::{
    Request,
    transport::{Channel, Endpoint},
};

use almanac_proto::dish::{self, DishGetStatusResponse, device_client::DeviceClient};
use almanac_schemas::{
    node::DishTelemetry,
    trigger::{Provider as Name, Value, samples::Sample},
};

use crate::{clock, runtime::chain};

use super::provider::{MeasureError, Measured, Provider};

/// How often it is asked.
const EVERY: Duration = Duration::from_secs(1);

/// How long a connection, and an answer, may take. A sample that takes longer is of another second.
const DEADLINE: Duration = Duration::from_millis(900);

/// The largest answer, in bytes. Those of real terminals have two thousand.
const LARGEST: usize = 64 << 10;

/// The longest text that is taken for one.
const LONGEST_TEXT: usize = 128;

/// A terminal.
pub struct Dish {
    address: String,
    /// Kept while it serves: a connection costs more than a question.
    client: Option<DeviceClient<Channel>>,
}

impl Dish {
    /// The terminal that a manifest names.
    pub fn new(declared: &DishTelemetry) -> Self {
        Self { address: declared.address.clone(), client: None }
    }

    async fn ask(&mut self) -> Result<Sample, MeasureError> {
        let client = match &mut self.client {
            Some(client) => client,
            None => {
                let client = connect(&self.address).await?;
                self.client.insert(client)
            }
        };
        let question = dish::Request { get_status: Some(dish::GetStatusRequest {}) };
        let mut request = Request::new(question);
        request.set_timeout(DEADLINE);
        let answer = client.handle(request).await;
        let answer = answer.map_err(|status| {
            // The next question has a connection of its own.
            self.client = None;
            let (address, message) = (&self.address, short(status.message()));
            MeasureError(format!(
                "the terminal at {address} does not say how it is: {:?}: {message}",
                status.code()
            ))
        })?;
        let status = answer.into_inner().dish_get_status;
        status.map(|status| sample(&status)).filter(|sample| !sample.is_empty()).ok_or_else(|| {
            MeasureError(format!("what answers at {} says nothing that a terminal does", self.address))
        })
    }
}

impl Provider for Dish {
    fn name(&self) -> Name {
        Name::Dish
    }

    fn every(&self) -> Duration {
        EVERY
    }

    fn is_always_on(&self) -> bool {
        true
    }

    fn measure(&mut self) -> BoxFuture<'_, Result<Option<Measured>, MeasureError>> {
        async {
            let sample = self.ask().await?;
            Ok(Some(Measured { at: clock::now(), sample }))
        }
        .boxed()
    }
}

async fn connect(address: &str) -> Result<DeviceClient<Channel>, MeasureError> {
    let unusable = |why: String| MeasureError(format!("the terminal at {address} is not reached: {why}"));
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| unusable(chain(&error)))?
        .connect_timeout(DEADLINE)
        .timeout(DEADLINE);
    let channel = endpoint.connect().await.map_err(|error| unusable(chain(&error)))?;
    Ok(DeviceClient::new(channel).max_decoding_message_size(LARGEST))
}

/// What a stranger says, short enough for a line.
fn short(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(LONGEST_TEXT).collect()
}

/// What a status says. A terminal does not send what is zero, so that "absent" may mean either; each field is decided for
/// itself, and where it may be neither, it is not measured.
fn sample(status: &DishGetStatusResponse) -> Sample {
    let number = |value: Option<f32>| value.map(f64::from).filter(|value| value.is_finite());
    let share = |value: f64| (0.0..=1.0).contains(&value);
    let mut fields: Vec<(&str, Option<Value>)> = Vec::new();
    let mut put = |name, value: Option<f64>| fields.push((name, value.map(Value::Number)));

    // No ping takes no time: without an answer there is no latency, and some software says -1 then.
    let latency = number(status.pop_ping_latency_ms).filter(|latency| *latency > 0.0);
    put("pop_ping_latency_ms", latency);

    // That no ping is lost is what is hoped for, and it is zero, which is not sent. It is believed where pings are
    // measured at all, which a latency says; else software that has no such field would seem to lose nothing.
    let lost = match status.pop_ping_drop_rate {
        None => latency.map(|_| 0.0),
        said => number(said).filter(|rate| share(*rate)),
    };
    put("pop_ping_drop_rate", lost);

    // A link that carries nothing has a throughput of zero. It is believed where the other direction, or a latency, says
    // that the link is measured.
    let (up, down) = (number(status.uplink_throughput_bps), number(status.downlink_throughput_bps));
    let is_measured = up.is_some() || down.is_some() || latency.is_some();
    let throughput = |said: Option<f32>, value: Option<f64>| match said {
        None => is_measured.then_some(0.0),
        Some(_) => value.filter(|value| *value >= 0.0),
    };
    put("uplink_throughput_bps", throughput(status.uplink_throughput_bps, up));
    put("downlink_throughput_bps", throughput(status.downlink_throughput_bps, down));

    // A dish never points at the horizon, so that an elevation of zero is none; to the north it may well point, as long
    // as it points anywhere.
    let elevation = number(status.boresight_elevation_deg);
    let elevation = elevation.filter(|elevation| *elevation != 0.0 && (-90.0..=90.0).contains(elevation));
    let azimuth = match status.boresight_azimuth_deg {
        None => elevation.map(|_| 0.0),
        said => number(said).filter(|azimuth| (-360.0..=360.0).contains(azimuth)),
    };
    put("boresight_elevation_deg", elevation);
    put("boresight_azimuth_deg", azimuth);

    // A message of its own, which is sent also where all in it is zero: then nothing is in the way.
    let obstruction = status.obstruction_stats.as_ref();
    let fraction = obstruction.and_then(|stats| match stats.fraction_obstructed {
        None => Some(0.0),
        said => number(said).filter(|fraction| share(*fraction)),
    });
    put("fraction_obstructed", fraction);
    // A terminal that is up for no second yet is as good as not asked.
    let uptime = status.device_state.and_then(|state| state.uptime_s).filter(|uptime| *uptime > 0);
    #[expect(clippy::cast_precision_loss, reason = "exact for more years than a terminal lasts")]
    put("uptime_s", uptime.map(|uptime| uptime as f64));

    let obstructed = obstruction.map(|stats| stats.currently_obstructed.unwrap_or(false));
    fields.push(("currently_obstructed", obstructed.map(Value::Truth)));
    let text = |value: Option<&String>| {
        value
            .filter(|text| !text.is_empty() && text.len() <= LONGEST_TEXT)
            .map(|text| Value::Text(text.clone()))
    };
    let info = status.device_info.as_ref();
    fields.push(("software_version", text(info.and_then(|info| info.software_version.as_ref()))));
    fields.push(("hardware_version", text(info.and_then(|info| info.hardware_version.as_ref()))));

    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests;
