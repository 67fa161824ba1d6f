//! `telemetry-source`: the addresses that telemetry comes from can be asked. `telemetry`: what a node is to measure
//! has a place and a source.

use almanac_schemas::{
    Node,
    config::{SatelliteSource, WeatherSource},
    node::DishTelemetry,
    secret::SecretRef,
};

use super::{Context, Draft, Place, address::Address};
use crate::Rule;

/// What the reconciler adds to the address of the weather by itself.
const ADDED: [&str; 4] = ["appid", "lat", "lon", "units"];

/// What is wrong with an address, and what to do. It never repeats the address: there may be a secret in it.
type Problem = (String, String);

/// The addresses that `Config` names.
pub(super) fn check_config(context: &Context<'_>, drafts: &mut Vec<Draft>) {
    let Some((config, place)) = context.declared_config() else { return };
    let spec = place.key("spec");
    let mut report = |place: Place, (message, help): Problem| {
        drafts.push(Draft::new(Rule::TelemetrySource, place, message).help(help));
    };
    if let Some(WeatherSource { url, api_key }) = &config.spec.weather {
        let place = spec.key("weather");
        if let Err(problem) = weather(url) {
            report(place.key("url"), problem);
        }
        let place = place.key("apiKey");
        match api_key {
            SecretRef::File(path) if !path.starts_with('/') => {
                let message = "the path of the weather's key is not absolute".to_owned();
                report(place.key("fromFile"), (message, "name a file of the reconciler's host".to_owned()));
            }
            SecretRef::Env(name) if name.is_empty() || name.contains(['=', '\0']) => {
                let message = "no environment variable has such a name".to_owned();
                let help = "name a variable of the reconciler's environment, such as `OPENWEATHER_API_KEY`";
                report(place.key("fromEnv"), (message, help.to_owned()));
            }
            SecretRef::File(_) | SecretRef::Env(_) => {}
        }
    }
    if let Some(SatelliteSource { tle }) = &config.spec.satellites
        && let Err(problem) = orbits(tle)
    {
        report(spec.key("satellites").key("tle"), problem);
    }
}

/// What nodes are to measure, and where their terminals are.
pub(super) fn check_nodes(context: &Context<'_>, drafts: &mut Vec<Draft>) {
    for (node, place) in context.whole_nodes() {
        let Some(telemetry) = &node.spec.telemetry else { continue };
        let place = place.key("spec").key("telemetry");
        if let Some(DishTelemetry { address }) = &telemetry.dish
            && let Err((message, help)) = dish(address)
        {
            let place = place.key("dish").key("address");
            drafts.push(Draft::new(Rule::TelemetrySource, place, message).help(help));
        }
        if telemetry.weather.is_some() {
            let has_source = |context: &Context<'_>| context.settings().is_none_or(|it| it.weather.is_some());
            measured(context, node, &place, &WEATHER, has_source(context), drafts);
        }
        if telemetry.satellites.is_some() {
            let has_source =
                |context: &Context<'_>| context.settings().is_none_or(|it| it.satellites.is_some());
            measured(context, node, &place, &SATELLITES, has_source(context), drafts);
        }
    }
}

/// Something that a node measures by what the reconciler fetches.
struct Provider {
    /// The field, of a node and of `Config`.
    key: &'static str,
    what: &'static str,
    /// A source, as one may write it.
    source: &'static str,
}

const WEATHER: Provider = Provider {
    key: "weather",
    what: "the weather",
    source: "weather: { apiKey: { fromEnv: OPENWEATHER_API_KEY } }",
};

const SATELLITES: Provider = Provider {
    key: "satellites",
    what: "the satellites in its sky",
    source: "satellites: { tle: \"https://celestrak.org/NORAD/elements/gp.php?GROUP=starlink&FORMAT=tle\" }",
};

fn measured(
    context: &Context<'_>,
    node: &Node,
    telemetry: &Place,
    provider: &Provider,
    has_source: bool,
    drafts: &mut Vec<Draft>,
) {
    let Provider { key, what, source } = provider;
    let name = &node.metadata.name;
    let place = telemetry.key(key).on_key();
    if node.spec.coordinates.is_none() {
        let message =
            format!("`{name}` is to measure {what}, and nobody knows where: it has no `coordinates`");
        let help = format!(
            "add `coordinates: {{ latitude: 51.5074, longitude: -0.1278 }}` with those of the node, or leave `{key}` out"
        );
        drafts.push(Draft::new(Rule::Telemetry, place.clone(), message).help(help));
    }
    // While a file cannot be read, the settings may be in that one.
    if has_source || !context.complete {
        return;
    }
    let message = format!("`{name}` is to measure {what}, and the testbed's `Config` has no `{key}`");
    let help = format!("let an admin add `{source}` to it, or leave `{key}` out");
    let draft = Draft::new(Rule::Telemetry, place, message).help(help);
    drafts.push(match context.declared_config() {
        Some((_, config)) => draft.related("the settings are these", config.name()),
        None => draft,
    });
}

fn weather(url: &str) -> Result<(), Problem> {
    let help = "write, for example, `https://api.openweathermap.org/data/2.5/weather`";
    let address = of_web(url, "the weather", help)?;
    let added = |name: &str| ADDED.into_iter().find(|added| added.eq_ignore_ascii_case(name));
    let Some(added) = address.asks_for().find_map(added) else { return Ok(()) };
    let message = format!("the address asks for `{added}`, which the reconciler adds by itself");
    Err(match added {
        "appid" => (
            message,
            "leave it out, and name the place of the key in `apiKey`: what is in Git is no secret".to_owned(),
        ),
        _ => {
            (message, "leave it out: each node's own `coordinates` are asked for, in metric units".to_owned())
        }
    })
}

fn orbits(tle: &str) -> Result<(), Problem> {
    let help = "write `https://` and a host, or the absolute path of a file on the reconciler's host";
    if tle.starts_with('/') {
        return match tle.ends_with('/') {
            true => {
                Err(("the path is that of a folder, and orbits are in a file".to_owned(), help.to_owned()))
            }
            false => Ok(()),
        };
    }
    if tle.to_ascii_lowercase().starts_with("file:") {
        let message = "a file of orbits is named by its path alone".to_owned();
        return Err((message, "leave `file://` out, so that it begins with `/`".to_owned()));
    }
    if !tle.contains("://") {
        let message = "this is neither an address nor an absolute path".to_owned();
        return Err((message, format!("{help}; files of this repository are not there")));
    }
    of_web(tle, "orbits", help).map(drop)
}

fn of_web<'a>(text: &'a str, what: &str, help: &str) -> Result<Address<'a>, Problem> {
    let Some(address) = Address::parse(text.trim()) else {
        return Err((
            "this is no address: expected `https://` or `http://`, and a host".to_owned(),
            help.to_owned(),
        ));
    };
    if !address.is_of_web() {
        let message =
            format!("{what} cannot be fetched by `{}://`: expected `https://` or `http://`", address.scheme);
        return Err((message, help.to_owned()));
    }
    if address.names_user {
        let message = "the address carries a user or password".to_owned();
        return Err((message, "leave it out: what is in Git is no secret".to_owned()));
    }
    Ok(address)
}

fn dish(address: &str) -> Result<(), Problem> {
    let help = || "write, for example, `192.168.100.1:9200`".to_owned();
    if address.contains("://") {
        return Err(("a terminal is named by its host and port alone".to_owned(), help()));
    }
    let text = format!("http://{address}");
    match Address::parse(&text).filter(|address| !address.goes_on && !address.names_user) {
        Some(Address { port: Some(1..), .. }) => Ok(()),
        Some(_) => Err(("the address of the terminal has no port".to_owned(), help())),
        None => Err(("this is not the address of a terminal: expected its host and port".to_owned(), help())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_reconciler_can_ask_passes() {
        for good in [
            "https://api.openweathermap.org/data/2.5/weather",
            "https://api.openweathermap.org/data/2.5/weather?lang=en",
            "http://127.0.0.1:8080",
            "http://[::1]:8080/weather#",
            "HTTPS://weather.example.org",
            " https://weather.example.org ",
        ] {
            assert_eq!(weather(good), Ok(()), "{good}");
        }
        for good in [
            "https://celestrak.org/NORAD/elements/gp.php?GROUP=starlink&FORMAT=tle",
            "http://tle.example.org:8080/a@b?lat=1",
            "/var/lib/almanac/starlink.tle",
        ] {
            assert_eq!(orbits(good), Ok(()), "{good}");
        }
        for good in ["192.168.100.1:9200", "dish.example.org:1", "[fe80::1]:9200"] {
            assert_eq!(dish(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn a_secret_is_never_repeated() {
        for bad in [
            "https://user:hunter2@example.org",
            "https://hunter2@example.org",
            "https://example.org?appid=hunter2",
            "https://example.org?APPID=hunter2",
            "ftp://user:hunter2@example.org",
            "https://user:hunter2@",
            "user:hunter2@example.org",
        ] {
            let (message, help) = weather(bad).unwrap_err();
            assert!(!message.contains("hunter2") && !help.contains("hunter2"), "{message} {help}");
        }
        let (message, _) = orbits("https://user:hunter2@example.org").unwrap_err();
        assert_eq!(message, "the address carries a user or password");
    }

    #[test]
    fn what_cannot_be_asked_is_told() {
        let all = [
            "",
            "example.org",
            "ftp://example.org",
            "file:///etc/passwd",
            "https://",
            "https:///x",
            "https://a b/c",
        ];
        for bad in all {
            assert!(weather(bad).is_err() && orbits(bad).is_err(), "{bad}");
        }
        for bad in ["tle/starlink.txt", "../starlink.txt", "/var/lib/", "FILE:/x", "C:\\starlink.txt"] {
            assert!(orbits(bad).is_err(), "{bad}");
        }
        for bad in [
            "",
            "192.168.100.1",
            "http://192.168.100.1:9200",
            "a:b",
            "a:0",
            "a:1:2",
            ":9200",
            "a:9200/x",
            "b@a:9200",
            "[::1",
        ] {
            assert!(dish(bad).is_err(), "{bad}");
        }
    }
}
