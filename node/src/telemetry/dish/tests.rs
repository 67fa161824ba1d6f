use std::{net::SocketAddr, sync::Arc, sync::Mutex};

use prost::Message as _;
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpListener,
    time::{self, Instant},
};
use tonic::{
    Response, Status,
    transport::{Server, server::TcpIncoming},
};

use almanac_proto::dish::{
    DeviceInfo, DeviceState, DishObstructionStats,
    device_server::{Device, DeviceServer},
};

use super::*;

fn status() -> DishGetStatusResponse {
    DishGetStatusResponse {
        device_info: Some(DeviceInfo {
            id: Some("ut01".to_owned()),
            hardware_version: Some("rev4".to_owned()),
            software_version: Some("2026.40.1".to_owned()),
        }),
        device_state: Some(DeviceState { uptime_s: Some(4711) }),
        pop_ping_drop_rate: Some(0.25),
        obstruction_stats: Some(DishObstructionStats {
            fraction_obstructed: Some(0.5),
            valid_s: Some(100.0),
            currently_obstructed: Some(true),
        }),
        downlink_throughput_bps: Some(2e6),
        uplink_throughput_bps: Some(1e6),
        pop_ping_latency_ms: Some(40.5),
        boresight_azimuth_deg: Some(-12.5),
        boresight_elevation_deg: Some(65.0),
    }
}

fn number(sample: &Sample, name: &str) -> Option<f64> {
    sample.get(name).map(|value| if let Value::Number(number) = value { *number } else { panic!("{name}") })
}

#[test]
fn a_whole_status_is_all_fields() {
    use almanac_schemas::trigger::field::KNOWN;
    let sample = sample(&status());
    let known = KNOWN.iter().filter(|known| known.provider == Name::Dish);
    for known in known {
        assert_eq!(sample.get(known.name).map(Value::is), Some(known.is), "{}", known.name);
    }
    assert_eq!(sample.len(), 11);
    assert_eq!(number(&sample, "pop_ping_drop_rate"), Some(0.25));
    assert_eq!(sample["currently_obstructed"], Value::Truth(true));
}

#[test]
fn what_is_absent_is_zero_only_where_it_can_be() {
    // Idle, in the open, and without loss, as such a terminal writes it: zeros are not sent.
    let idle = DishGetStatusResponse {
        pop_ping_drop_rate: None,
        uplink_throughput_bps: None,
        downlink_throughput_bps: None,
        boresight_azimuth_deg: None,
        obstruction_stats: Some(DishObstructionStats::default()),
        ..status()
    };
    let found = sample(&idle);
    for name in [
        "pop_ping_drop_rate",
        "uplink_throughput_bps",
        "downlink_throughput_bps",
        "boresight_azimuth_deg",
        "fraction_obstructed",
    ] {
        assert_eq!(number(&found, name), Some(0.0), "{name}");
    }
    assert_eq!(found["currently_obstructed"], Value::Truth(false));
    // One that is booting says what it is, and nothing else.
    let booting =
        DishGetStatusResponse { device_info: status().device_info, ..DishGetStatusResponse::default() };
    assert_eq!(sample(&booting).keys().collect::<Vec<_>>(), ["hardware_version", "software_version"]);
    assert!(sample(&DishGetStatusResponse::default()).is_empty());
}

#[test]
fn what_cannot_be_is_not_measured() {
    let wild = DishGetStatusResponse {
        device_info: Some(DeviceInfo { software_version: Some("x".repeat(10_000)), ..DeviceInfo::default() }),
        device_state: Some(DeviceState { uptime_s: None }),
        pop_ping_drop_rate: Some(1.5),
        pop_ping_latency_ms: Some(-1.0),
        uplink_throughput_bps: Some(f32::NAN),
        downlink_throughput_bps: Some(-7.0),
        boresight_azimuth_deg: Some(f32::INFINITY),
        boresight_elevation_deg: Some(1e9),
        obstruction_stats: Some(DishObstructionStats {
            fraction_obstructed: Some(-0.1),
            valid_s: None,
            currently_obstructed: None,
        }),
    };
    assert_eq!(sample(&wild).keys().collect::<Vec<_>>(), ["currently_obstructed"]);
}

#[test]
fn what_a_newer_terminal_says_beyond_it_is_passed_over() {
    let mut bytes = status().encode_to_vec();
    // Fields 1005 (varint), 1999 (text) and 1006 (a message), as the encoding of protocol buffers has them.
    bytes.extend([0xe8, 0x3e, 0x07]);
    bytes.extend([0xfa, 0x7c, 0x03, b'n', b'e', b'w']);
    bytes.extend([0xf2, 0x3e, 0x02, 0x08, 0x01]);
    assert_eq!(DishGetStatusResponse::decode(bytes.as_slice()).unwrap(), status());
}

/// What a terminal does when it is asked.
#[derive(Clone, Copy)]
enum Does {
    Answers,
    Waits(Duration),
    Refuses,
    SaysNothing,
    SaysTooMuch,
}

struct Terminal(Arc<Mutex<Does>>);

#[tonic::async_trait]
impl Device for Terminal {
    async fn handle(&self, _request: Request<dish::Request>) -> Result<Response<dish::Response>, Status> {
        let does = *self.0.lock().unwrap();
        let mut said = status();
        match does {
            Does::Answers => {}
            Does::Waits(time) => time::sleep(time).await,
            Does::Refuses => return Err(Status::unimplemented("not\nfor you")),
            Does::SaysNothing => return Ok(Response::new(dish::Response::default())),
            Does::SaysTooMuch => {
                said.device_info =
                    Some(DeviceInfo { id: Some("x".repeat(1 << 20)), ..DeviceInfo::default() });
            }
        }
        Ok(Response::new(dish::Response { api_version: Some(30), dish_get_status: Some(said) }))
    }
}

async fn terminal(listener: TcpListener) -> Arc<Mutex<Does>> {
    let does = Arc::new(Mutex::new(Does::Answers));
    let service = DeviceServer::new(Terminal(Arc::clone(&does)));
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener)));
    does
}

fn dish_at(address: SocketAddr) -> Dish {
    Dish::new(&DishTelemetry { address: address.to_string() })
}

#[tokio::test]
async fn a_terminal_is_asked_whatever_it_did_before() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut dish = dish_at(listener.local_addr().unwrap());
    let does = terminal(listener).await;
    assert_eq!(dish.ask().await.unwrap(), sample(&status()));
    for (wrong, why) in [
        (Does::Refuses, "Unimplemented: notfor you"),
        (Does::SaysNothing, "says nothing that a terminal does"),
        (Does::SaysTooMuch, "OutOfRange"),
        (Does::Waits(Duration::from_secs(60)), "does not say how it is"),
    ] {
        *does.lock().unwrap() = wrong;
        let begun = Instant::now();
        let said = dish.ask().await.unwrap_err().0;
        assert!(said.contains(why) && said.len() < 300, "{said}");
        assert!(begun.elapsed() < DEADLINE * 2);
        *does.lock().unwrap() = Does::Answers;
        assert_eq!(dish.ask().await.unwrap(), sample(&status()), "after {why}");
    }
}

#[tokio::test]
async fn what_is_no_terminal_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Something else that listens there, and says what makes no sense.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(&[0x41; 4096]).await;
        }
    });
    assert!(dish_at(address).ask().await.is_err());
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let why = dish_at(gone).ask().await.unwrap_err().0;
    assert!(why.contains("is not reached") && why.contains(&gone.to_string()), "{why}");
    for address in ["", "no port", "http://x", "a:b:c", "[::1"] {
        let mut dish = Dish::new(&DishTelemetry { address: address.to_owned() });
        let why = dish.ask().await.unwrap_err().0;
        assert!(why.contains("not reached"), "{address}: {why}");
    }
}

#[tokio::test]
async fn a_terminal_that_accepts_and_is_silent_is_given_up_within_its_second() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut dish = dish_at(listener.local_addr().unwrap());
    let begun = Instant::now();
    assert!(dish.ask().await.is_err());
    assert!(begun.elapsed() < DEADLINE * 3, "{:?}", begun.elapsed());
    drop(listener);
}
