//! The task that has those providers measure that are declared, as the node's manifest changes.

use std::{collections::BTreeMap, sync::Arc};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use almanac_schemas::{
    node::{Coordinates, DishTelemetry},
    trigger::Provider as Name,
};

use crate::{heartbeat::host::Places, runtime::Runtime};

use super::{
    Telemetry,
    dish::Dish,
    drive::drive,
    feed::Feeds,
    host::Host,
    hub::Declared,
    local::{Local, LocalSettings},
    network::Network,
    provider::Provider,
    satellites::Satellites,
    weather::Weather,
};

/// What providers measure with.
pub struct Providers {
    telemetry: Telemetry,
    feeds: Feeds,
    runtime: Arc<dyn Runtime>,
    places: Places,
    local: LocalSettings,
}

/// What a provider is made of. One that is made of something else is another one.
#[derive(Debug, Clone, PartialEq)]
enum Plan {
    Dish(DishTelemetry),
    Weather,
    Satellites(Coordinates),
    /// It lacks something, and will not measure.
    Nothing(&'static str),
    Network,
    Host,
    Local,
}

/// What is to measure, by the manifest and the host.
fn plans(declared: &Declared, has_local: bool) -> BTreeMap<Name, Plan> {
    let telemetry = declared.telemetry.clone().unwrap_or_default();
    let nowhere = "the node's manifest has no `coordinates`";
    // A place that the manifest names is where the reconciler asks for the weather.
    let weather =
        telemetry.weather.map(|_| declared.coordinates.map_or(Plan::Nothing(nowhere), |_| Plan::Weather));
    let satellites =
        telemetry.satellites.map(|_| declared.coordinates.map_or(Plan::Nothing(nowhere), Plan::Satellites));
    let plans = [
        (Name::Dish, telemetry.dish.map(Plan::Dish)),
        (Name::Weather, weather),
        (Name::Satellites, satellites),
        (Name::Network, Some(Plan::Network)),
        (Name::Host, Some(Plan::Host)),
        (Name::Local, has_local.then_some(Plan::Local)),
    ];
    plans.into_iter().filter_map(|(name, plan)| Some((name, plan?))).collect()
}

impl Providers {
    /// Those of an agent. The host's own are known from now on.
    pub fn new(
        telemetry: Telemetry,
        feeds: Feeds,
        runtime: Arc<dyn Runtime>,
        places: Places,
        local: LocalSettings,
    ) -> Self {
        if !local.is_empty() {
            telemetry.note(Name::Local, |standing| standing.idle = true);
        }
        Self { telemetry, feeds, runtime, places, local }
    }

    /// How a provider is made; nothing where something is missing for it.
    fn make(&self, plan: &Plan) -> Result<Box<dyn Provider>, &'static str> {
        Ok(match plan {
            Plan::Dish(declared) => Box::new(Dish::new(declared)),
            Plan::Weather => Box::new(Weather::new(self.feeds.weather())),
            Plan::Satellites(coordinates) => Box::new(Satellites::new(self.feeds.orbits(), coordinates)),
            Plan::Network => Box::new(Network::new(self.runtime.clone(), self.places.proc.clone())),
            Plan::Host => Box::new(Host::new(self.places.clone())),
            Plan::Local => Box::new(Local::new(&self.local).ok_or("nothing is configured")?),
            Plan::Nothing(why) => return Err(why),
        })
    }
}

/// Has providers measure until the agent stops: those that are declared, each by itself.
pub async fn measure(providers: Providers, stop: CancellationToken) {
    let mut declared = providers.telemetry.declared();
    let mut under_way: BTreeMap<Name, (Plan, Driver)> = BTreeMap::new();
    loop {
        let wanted = plans(&declared.borrow_and_update(), !providers.local.is_empty());
        let gone: Vec<Name> = under_way
            .iter()
            .filter(|(name, (plan, _))| wanted.get(name) != Some(plan))
            .map(|(name, _)| *name)
            .collect();
        for name in gone {
            if let Some((_, driver)) = under_way.remove(&name) {
                driver.end().await;
            }
            if !wanted.contains_key(&name) {
                providers.telemetry.dismiss(name);
            }
        }
        for (name, plan) in wanted {
            if under_way.contains_key(&name) {
                continue;
            }
            let task = match providers.make(&plan) {
                Ok(provider) => Some(tokio::spawn(drive(provider, providers.telemetry.clone()))),
                Err(why) => {
                    providers.telemetry.note(name, |standing| standing.problem = Some(why.to_owned()));
                    None
                }
            };
            under_way.insert(name, (plan, Driver(task)));
        }
        // Cancel-safe: a change that was not seen stays one.
        tokio::select! {
            () = stop.cancelled() => break,
            changed = declared.changed() => if changed.is_err() { break },
        }
    }
    for (_, (_, driver)) in under_way {
        driver.end().await;
    }
}

/// The task of a provider. It ends with this.
struct Driver(Option<JoinHandle<()>>);

impl Driver {
    /// Ends it, and waits until what it measured is forgotten: what comes after it is another's.
    async fn end(mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(json: &str) -> Declared {
        let node: almanac_schemas::NodeSpec = serde_json::from_str(json).unwrap();
        Declared { telemetry: node.telemetry, coordinates: node.coordinates }
    }

    #[test]
    fn what_is_declared_is_measured() {
        let names = |json: &str, local| plans(&declared(json), local).into_keys().collect::<Vec<_>>();
        assert_eq!(names(r#"{"owner":"a"}"#, false), [Name::Network, Name::Host]);
        assert_eq!(
            names(r#"{"owner":"a","telemetry":{"dish":{}}}"#, true),
            [Name::Dish, Name::Network, Name::Host, Name::Local]
        );
        let nowhere = plans(&declared(r#"{"owner":"a","telemetry":{"weather":{},"satellites":{}}}"#), false);
        assert!(matches!(nowhere[&Name::Satellites], Plan::Nothing(why) if why.contains("coordinates")));
        assert!(matches!(nowhere[&Name::Weather], Plan::Nothing(_)));
        let moved = |latitude: u8| {
            let json = format!(
                r#"{{"owner":"a","coordinates":{{"latitude":{latitude},"longitude":0}},"telemetry":{{"weather":{{}},"satellites":{{}}}}}}"#
            );
            plans(&declared(&json), false)
        };
        assert_ne!(
            moved(1)[&Name::Satellites],
            moved(2)[&Name::Satellites],
            "a place that moved is another one"
        );
        assert_eq!(moved(1)[&Name::Weather], Plan::Weather);
    }
}
