//! `almanac-validate trigger`.

use std::{collections::BTreeMap, fs, io::Read, path::PathBuf};

use almanac_schemas::trigger::{
    Condition, Decision, Problem, Provider, Samples, Value,
    field::{KNOWN, Known},
};
use anyhow::{Context, bail};

use super::print::{print, say};
use crate::exit::Exit;

const AFTER_HELP: &str = "\
Examples:
  almanac-validate trigger
  almanac-validate trigger 'dish.pop_ping_latency_ms > 60 && weather.rain_1h > 0'
  almanac-validate trigger 'abs(dish.pop_ping_latency_ms - prev(dish.pop_ping_latency_ms)) > 20' --sample dish.yaml

Exit codes:
  0  it is a trigger, and with --sample it fires
  1  it is none, or does not fire
  2  the command could not be run";

/// The file that stands for standard input.
const STDIN: &str = "-";

/// What was measured, by providers and fields.
type Measured = BTreeMap<String, BTreeMap<String, Value>>;

/// A sample, or several with the latest at the end.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Sampled {
    Several(Vec<Measured>),
    One(Measured),
}

/// Try the expression of a trigger, or list the fields that one can name.
///
/// Standard output is `true`, `false` or `unknown`; standard error says what was seen and what was missing.
/// `almanac-validate explain trigger` says what an expression is made of.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Trigger {
    /// The expression. Without it, all fields are listed.
    #[arg(value_name = "EXPR", allow_hyphen_values = true)]
    expression: Option<String>,

    /// What a node measured: YAML or JSON, `{ dish: { pop_ping_latency_ms: 70 } }`; `-` for standard input.
    ///
    /// A list of such samples begins with the earliest.
    #[arg(long, value_name = "FILE", requires = "expression")]
    sample: Option<PathBuf>,
}

impl Trigger {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let Some(expression) = &self.expression else { return list() };
        let condition = match Condition::parse(expression) {
            Ok(condition) => condition,
            Err(problem) => {
                tell(expression, &problem);
                return Ok(Exit::Findings);
            }
        };
        let Some(sample) = &self.sample else {
            let fields = condition.fields();
            print(|out| fields.iter().try_for_each(|field| writeln!(out, "{field}")))?;
            return Ok(Exit::Clean);
        };
        let text = if sample.as_os_str() == STDIN {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
            text
        } else {
            fs::read_to_string(sample).with_context(|| format!("cannot read {}", sample.display()))?
        };
        let decision = condition.decide(&samples(&text)?);
        let word = decision.holds.map_or("unknown".to_owned(), |holds| holds.to_string());
        print(|out| writeln!(out, "{word}"))?;
        explain(&decision);
        Ok(if decision.holds == Some(true) { Exit::Clean } else { Exit::Findings })
    }
}

/// Lists what can be named.
fn list() -> anyhow::Result<Exit> {
    let width = KNOWN.iter().map(|known| known.full_name().len()).max().unwrap_or_default();
    print(|out| {
        for known in KNOWN {
            writeln!(out, "{:width$}  {:13}  {}", known.full_name(), known.is.as_str(), known.about)?;
        }
        let about = "what the node's own configuration names";
        writeln!(out, "{:width$}  {:13}  {about}", format!("{}.NAME", Provider::Local), "a number")
    })?;
    Ok(Exit::Clean)
}

/// Reads samples. What is of no use in them is said.
fn samples(text: &str) -> anyhow::Result<Samples> {
    let sampled: Sampled = serde_yaml::from_str(text).context(
        "the sample is not of the form `{ dish: { pop_ping_latency_ms: 70 } }`, or a list of that",
    )?;
    let several = match sampled {
        Sampled::Several(several) => several,
        Sampled::One(one) => vec![one],
    };
    let mut samples = Samples::default();
    for measured in several {
        for (provider, sample) in measured {
            let Some(known) = Provider::ALL.into_iter().find(|known| known.as_str() == provider) else {
                let providers = Provider::ALL.map(Provider::as_str).join(", ");
                bail!("the sample has `{provider}`, and there are {providers}");
            };
            for (name, value) in &sample {
                match Known::find(known, name) {
                    None => say(&format!("warning: there is no field `{provider}.{name}`")),
                    Some(is) if is != value.is() => say(&format!(
                        "warning: `{provider}.{name}` is {} in the sample, and {} on a node",
                        value.is().as_str(),
                        is.as_str()
                    )),
                    Some(_) => {}
                }
            }
            samples.add(known, sample);
        }
    }
    Ok(samples)
}

fn explain(decision: &Decision) {
    for (field, value) in &decision.seen {
        say(&format!("seen: {field} = {value}"));
    }
    for field in &decision.missing {
        say(&format!("missing: {field}"));
    }
}

/// Says what is wrong with an expression, below the line that it is in.
fn tell(expression: &str, problem: &Problem) {
    say(&format!("error: {problem}"));
    let begin = expression[..problem.at.start].rfind('\n').map_or(0, |at| at + 1);
    let line = expression[begin..].lines().next().unwrap_or_default();
    let before = expression[begin..problem.at.start].chars().count();
    let within = expression[problem.at.start..problem.at.end.min(begin + line.len()).max(problem.at.start)]
        .chars()
        .count();
    say(&format!("  {line}\n  {}{}", " ".repeat(before), "^".repeat(within.max(1))));
    if let Some(help) = &problem.help {
        say(&format!("help: {help}"));
    }
}
