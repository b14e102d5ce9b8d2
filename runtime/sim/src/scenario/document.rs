//! A scenario as it stands in its file, and the check that makes it one.

use super::{ArrivalSource, Function, Scenario};
use crate::arrivals::{GapRule, LengthRule};
use crate::file::{FileError, Source};
use crate::profile::Profile;
use gpumux_core::{FunctionId, FunctionSpec, Priority, Sharing};
use serde::{Deserialize, Deserializer};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// The version of the file's form that this release reads.
pub const VERSION: u32 = 1;
/// Most lanes of a device, as of a worker's.
const LANES_MAX: usize = 64;
/// Most requests that wait for a function.
const QUEUE_MAX: u32 = 1 << 20;
/// Most functions.
const FUNCTIONS_MAX: usize = 1000;
/// Most segments that may be outstanding.
const RUN_AHEAD_MAX: u32 = 64;

/// See the file's head. The fields are the file's keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: Spanned<u32>,
    requests: Option<u64>,
    device: DeviceDocument,
    arrivals: Option<Spanned<GapRule>>,
    #[serde(rename = "function")]
    functions: Spanned<Vec<Spanned<FunctionDocument>>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceDocument {
    sms: Spanned<u32>,
    lanes: Spanned<Vec<u32>>,
    #[serde(default = "two")]
    run_ahead: Spanned<u32>,
}

fn two() -> Spanned<u32> {
    Spanned::new(0..0, 2)
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FunctionDocument {
    name: String,
    profile: PathBuf,
    buckets: Option<Vec<u32>>,
    max_batch: u32,
    max_wait: Span,
    queue: u32,
    #[serde(default)]
    sharing: SharingDocument,
    #[serde(default)]
    priority: PriorityDocument,
    objective: Option<Span>,
    budget: Option<Span>,
    lengths: LengthRule,
    arrivals: Option<GapRule>,
    #[serde(default = "one")]
    weight: f64,
}

fn one() -> f64 {
    1.0
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SharingDocument {
    #[default]
    AnyLength,
    EqualLength,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PriorityDocument {
    Low,
    #[default]
    Normal,
    High,
}

/// A span of time, written with its unit.
#[derive(Clone, Copy, Debug)]
struct Span(Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong =
            |error| serde::de::Error::custom(format!("`{text}`: {error}; write it like `2ms`"));
        humantime::parse_duration(&text).map(Self).map_err(wrong)
    }
}

/// How the files are read that a scenario names.
pub(super) type Reader<'a> = &'a dyn Fn(&Path) -> Result<Source, FileError>;

/// Reads a scenario and the profiles that it names.
pub(super) fn read(source: &Source, reader: Reader<'_>) -> Result<Scenario, FileError> {
    let document: Document = source.toml()?;
    let version = *document.version.get_ref();
    if version != VERSION {
        let what = format!("version {version}: this release reads version {VERSION}");
        return Err(source.wrong_at(document.version.span().start, what));
    }
    check_device(source, &document.device)?;
    let folder = source.path.parent().unwrap_or(Path::new("")).to_owned();
    let lanes = document.device.lanes.get_ref();
    let listed = &document.functions;
    if !(1..=FUNCTIONS_MAX).contains(&listed.get_ref().len()) {
        let what = format!("from 1 to {FUNCTIONS_MAX} of `[[function]]` are needed");
        return Err(source.wrong_at(listed.span().start, what));
    }
    let mut functions: Vec<Function> = Vec::new();
    for entry in listed.get_ref() {
        let wrong = |what: String| source.wrong_at(entry.span().start, what);
        let name = &entry.get_ref().name;
        if functions.iter().any(|earlier| earlier.name == *name) {
            return Err(wrong(format!("function `{name}` is there twice")));
        }
        let profile = Profile::checked(&reader(&folder.join(&entry.get_ref().profile))?)?;
        let function = function(entry.get_ref(), profile, lanes)
            .map_err(|what| wrong(format!("function `{name}`: {what}")))?;
        let longest = function.lengths.lengths(&folder, 0, 0)?.longest();
        let served = function.spec.buckets.last().copied().unwrap_or(0);
        if longest > served {
            let what = format!(
                "function `{name}`: its `lengths` go to {longest}, its buckets to {served}"
            );
            return Err(wrong(what));
        }
        functions.push(function);
    }
    let sources = sources(source, &document)?;
    Ok(Scenario {
        name: source.path.display().to_string(),
        lanes: lanes.clone(),
        run_ahead: *document.device.run_ahead.get_ref(),
        functions,
        sources,
        requests: document.requests,
        folder,
    })
}

fn check_device(source: &Source, device: &DeviceDocument) -> Result<(), FileError> {
    let (sms, lanes) = (*device.sms.get_ref(), device.lanes.get_ref());
    let wrong = |what: String| Err(source.wrong_at(device.lanes.span().start, what));
    if !(1..=LANES_MAX).contains(&lanes.len()) || lanes.contains(&0) {
        return wrong(format!("from 1 to {LANES_MAX} lanes of 1 SM or more are needed"));
    }
    let held: u64 = lanes.iter().copied().map(u64::from).sum();
    if held > u64::from(sms) {
        return wrong(format!("the lanes hold {held} SMs, and the device has {sms}"));
    }
    let run_ahead = *device.run_ahead.get_ref();
    if !(1..=RUN_AHEAD_MAX).contains(&run_ahead) {
        let what = format!("`run_ahead` is {run_ahead}: write 1 to {RUN_AHEAD_MAX}");
        return Err(source.wrong_at(device.run_ahead.span().start, what));
    }
    Ok(())
}

/// What is wrong with a function by itself and by its profile, or the function.
fn function(
    document: &FunctionDocument,
    profile: Profile,
    lanes: &[u32],
) -> Result<Function, String> {
    let buckets = document.buckets.clone().unwrap_or_else(|| vec![profile.length_max()]);
    let rises = buckets.windows(2).all(|pair| pair[0] < pair[1]);
    if !rises || buckets.first().is_none_or(|least| *least == 0) {
        return Err("`buckets` are ascending lengths, at least one, from 1 on".to_owned());
    }
    if document.name.trim().is_empty() {
        return Err("`name` is empty".to_owned());
    }
    if !(1..=QUEUE_MAX).contains(&document.queue) {
        return Err(format!("`queue` is {}: write 1 to {QUEUE_MAX}", document.queue));
    }
    let within = |asked: u32, most: u32, what: &str| {
        let told =
            || format!("{what} is {asked}, and its profile `{}` knows 1 to {most}", profile.name());
        if (1..=most).contains(&asked) { Ok(()) } else { Err(told()) }
    };
    within(document.max_batch, profile.batch_max(), "`max_batch`")?;
    within(buckets[buckets.len() - 1], profile.length_max(), "the last of `buckets`")?;
    if let Some(small) = lanes.iter().find(|sms| **sms < profile.sms_min()) {
        let (name, least) = (profile.name(), profile.sms_min());
        return Err(format!("a lane has {small} SMs, and profile `{name}` knows {least} and more"));
    }
    if !(document.weight > 0.0 && document.weight <= 1e9) {
        return Err(format!("`weight` is {}: write a number above 0", document.weight));
    }
    document.lengths.check().map_err(|what| format!("`lengths`: write {what}"))?;
    Ok(Function {
        name: document.name.clone(),
        spec: FunctionSpec {
            buckets,
            max_batch: document.max_batch,
            max_wait: document.max_wait.0,
            queue: document.queue,
            sharing: match document.sharing {
                SharingDocument::AnyLength => Sharing::AnyLength,
                SharingDocument::EqualLength => Sharing::EqualLength,
            },
            priority: match document.priority {
                PriorityDocument::Low => Priority::Low,
                PriorityDocument::Normal => Priority::Normal,
                PriorityDocument::High => Priority::High,
            },
        },
        profile,
        objective: document.objective.map(|span| span.0),
        budget: document.budget.map(|span| span.0),
        lengths: document.lengths.clone(),
        weight: document.weight,
    })
}

/// Arrivals are of all functions together or of each by itself.
fn sources(source: &Source, document: &Document) -> Result<Vec<ArrivalSource>, FileError> {
    let numbered = || (0u16..).zip(document.functions.get_ref());
    if let Some(gaps) = &document.arrivals {
        let wrong = |what| source.wrong_at(gaps.span().start, format!("`arrivals`: write {what}"));
        gaps.get_ref().check().map_err(wrong)?;
        if let Some((_, both)) = numbered().find(|(_, it)| it.get_ref().arrivals.is_some()) {
            let what = "`arrivals` here and of the whole scenario: write one of the two";
            return Err(source.wrong_at(both.span().start, what));
        }
        let functions = numbered().map(|(index, _)| FunctionId(index)).collect();
        return Ok(vec![ArrivalSource { gaps: gaps.get_ref().clone(), functions }]);
    }
    let own = |(index, entry): (u16, &Spanned<FunctionDocument>)| {
        let wrong = |what: String| source.wrong_at(entry.span().start, what);
        let FunctionDocument { name, arrivals, .. } = entry.get_ref();
        let Some(gaps) = arrivals else {
            return Err(wrong(format!(
                "function `{name}` has no `arrivals`, nor has the scenario"
            )));
        };
        let told = |what| wrong(format!("function `{name}`: `arrivals`: write {what}"));
        gaps.check().map_err(told)?;
        Ok(ArrivalSource { gaps: gaps.clone(), functions: vec![FunctionId(index)] })
    };
    numbered().map(own).collect()
}
