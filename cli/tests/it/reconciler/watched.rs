//! What is followed: logs, and what nodes measure.

use bytes::Bytes;
use tokio_stream::iter;
use tonic::Status;

use almanac_proto::v1;

use super::{COMPLETED, Messages, RUNNING, Reconciler, at, runs::runs};

pub(super) fn telemetry(
    reconciler: &Reconciler,
    question: &v1::WatchTelemetryRequest,
) -> Result<Messages<v1::WatchTelemetryResponse>, Status> {
    let mut state = reconciler.state.lock().unwrap();
    let value = |value| v1::MeasuredValue { value: Some(value) };
    let number = |number| value(v1::measured_value::Value::Number(number));
    let text = |text: &str| value(v1::measured_value::Value::Text(text.to_owned()));
    let reading = |provider: &str, when, sample: &[(&str, v1::MeasuredValue)]| v1::Reading {
        provider: provider.to_owned(),
        at: at(when),
        sample: sample.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
    };
    let dish = [
        ("pop_ping_latency_ms", number(31.25)),
        ("currently_obstructed", value(v1::measured_value::Value::Truth(false))),
        ("software_version", text("2026.52.0")),
    ];
    let dish = reading("dish", "2027-01-10T11:59:59Z", &dish);
    let weather =
        reading("weather", "2027-01-10T11:52:00Z", &[("temp", number(7.5)), ("main", text("Rain\u{1b}[2J"))]);
    let local = reading("local", "2027-01-10T11:59:58Z", &[("queue", number(3.0))]);
    let answer =
        |readings, problem: &str| v1::WatchTelemetryResponse { readings, problem: problem.to_owned() };
    if question.node == "paris-01" {
        let offline = "`paris-01` is not heard of since 2027-01-10T09:00:00Z";
        return Ok(Box::pin(iter([Ok(answer(vec![weather], offline))])));
    }
    let mut answers = vec![Ok(answer(vec![dish.clone(), weather, local.clone()], ""))];
    if question.follow {
        if let Some(after) = state.breaks.pop_front() {
            answers.truncate(after);
            answers.push(Err(Status::unavailable("the reconciler is stopping")));
        } else {
            let silent = v1::Reading { sample: [].into(), ..local };
            let later = v1::Reading { at: at("2027-01-10T12:00:01Z"), ..dish };
            answers.push(Ok(answer(vec![later, silent], "")));
            answers.push(Ok(answer(vec![], "`london-01` has not sent what it measures for 15 s")));
            answers.push(Err(Status::permission_denied("you may not watch it any more")));
        }
    }
    Ok(Box::pin(iter(answers)))
}

pub(super) fn log(
    reconciler: &Reconciler,
    question: &v1::TailLogsRequest,
) -> Result<Messages<v1::TailLogsResponse>, Status> {
    let run = runs().into_iter().find(|run| run.id.starts_with(&question.run_id));
    let run = run.ok_or_else(|| Status::not_found("no such run"))?;
    let mut state = reconciler.state.lock().unwrap();
    if question.role() == v1::Role::Server {
        let id = run.id;
        return Err(Status::not_found(format!("run {id} has no server, and so no log of it")));
    }
    if run.id != COMPLETED {
        let why = if run.id == RUNNING { "it has not begun" } else { "it left no log" };
        return Err(Status::failed_precondition(format!("run {}: {why}", run.id)));
    }
    let breaks = state.breaks.pop_front();
    let log = state.files.iter().find(|file| file.announced.name == "run.log").unwrap();
    let plain = !almanac_proto::log::is_stamped(&log.content);
    let mut offset = 0;
    let lines = log.content.split_inclusive(|byte| *byte == b'\n').map(|line| {
        offset += line.len() as u64;
        let data = Bytes::copy_from_slice(line);
        v1::TailLogsResponse { data, offset, plain, ..Default::default() }
    });
    let begin = question.offset.unwrap_or_default();
    let lines = lines.filter(|part| part.offset > begin).take(breaks.unwrap_or(usize::MAX)).map(Ok);
    let end = match breaks {
        Some(_) => Err(Status::unavailable("the reconciler is stopping")),
        None => Ok(v1::TailLogsResponse { end: true, ..Default::default() }),
    };
    Ok(Box::pin(iter(lines.chain([end]).collect::<Vec<_>>())))
}
