//! `function.toml`: a model and its service.

use super::objective::Objective;
use super::span::Span;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Requests in a batch, at most.
const MAX_BATCH: RangeInclusive<u32> = 1..=1024;

/// Who would wait for longer is not waited for.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// One function, as its file says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct FunctionConfig {
    /// What computes it.
    pub(crate) model: Model,
    /// The outputs that are served; all of them when absent.
    pub(crate) outputs: Option<Vec<String>>,
    /// The variable dimension; absent where none varies.
    pub(crate) length: Option<Length>,
    /// How requests of different lengths share a batch.
    #[serde(default)]
    pub(crate) pad: Padding,
    /// Most requests in a batch.
    #[serde(default = "default_max_batch")]
    #[cfg_attr(test, schemars(range(min = *MAX_BATCH.start(), max = *MAX_BATCH.end())))]
    #[cfg_attr(test, schemars(extend("unit" = "requests")))]
    pub(crate) max_batch: u32,
    /// How long the oldest request waits for company while every lane is busy.
    #[serde(default = "default_max_wait")]
    #[cfg_attr(test, schemars(extend("range" = format!("0s to {}", Span(MAX_WAIT)))))]
    pub(crate) max_wait: Span,
    /// Most requests that wait.
    #[serde(default = "default_queue")]
    #[cfg_attr(test, schemars(range(min = 1), extend("unit" = "requests")))]
    pub(crate) queue: u32,
    /// The device that serves it, as the driver numbers them; the one with most memory left when
    /// absent.
    #[cfg_attr(test, schemars(extend("unit" = "the driver's number")))]
    pub(crate) device: Option<u32>,
    /// What the function is owed.
    #[serde(default)]
    pub(crate) service: Service,
}

/// What a function is owed. It is checked and shown; the policies that schedule by it say so, and
/// `fifo` is none of them. `sequoia-priority` goes by `priority`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// A quantile of the latency and its bound, as `p99 < 50ms`.
    pub(crate) objective: Option<Objective>,
    /// Who goes first where not all can.
    #[serde(default)]
    pub(crate) priority: Priority,
}

/// Who goes first where not all can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Priority {
    /// After the others.
    Low,
    /// Like most.
    #[default]
    Normal,
    /// Before the others.
    High,
}

impl From<Priority> for gpumux_core::Priority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Low => Self::Low,
            Priority::Normal => Self::Normal,
            Priority::High => Self::High,
        }
    }
}

/// What computes a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum Model {
    /// A plan without launches: takes bytes, and gives them back where `outputs` names them.
    Null,
    /// Gives back the bytes that it took, through the device.
    Echo,
    /// An ONNX file in the function's folder.
    Onnx(String),
}

/// The variable dimension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Length {
    /// The model's name for it. The built-in models have one, called `length`.
    #[serde(default = "default_axis")]
    pub(crate) axis: String,
    /// The longest that is served; longer input is refused.
    #[cfg_attr(test, schemars(range(min = 1), extend("unit" = "elements")))]
    pub(crate) max: u32,
}

/// How requests of different lengths share a batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Padding {
    /// They do not: only equal lengths do.
    #[default]
    None,
    /// Token by token, without padding, where the graph allows.
    Packed,
    /// Shorter ones are filled up.
    #[serde(untagged)]
    Fill(Fill),
}

/// How shorter requests are filled up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Fill {
    /// The value for each input; an input that is not named is filled with 0.
    #[serde(default)]
    pub(crate) fill: BTreeMap<String, f64>,
    /// The input that is 1 at real elements and 0 at filled ones.
    pub(crate) mask: String,
}

fn default_max_batch() -> u32 {
    8
}

fn default_max_wait() -> Span {
    Span(Duration::from_millis(2))
}

fn default_queue() -> u32 {
    1024
}

fn default_axis() -> String {
    "length".to_owned()
}

impl TryFrom<String> for Model {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "builtin:null" => Ok(Self::Null),
            "builtin:echo" => Ok(Self::Echo),
            _ if text.starts_with("builtin:") => Err(format!(
                "there is no `{text}`: the built-in models are `builtin:null` and `builtin:echo`"
            )),
            _ if !text.ends_with(".onnx") => Err(format!(
                "`{text}` is no model: name a file in this folder that ends in `.onnx`, or a built-in model"
            )),
            _ if text.contains('/') => Err(format!(
                "`{text}` leads out of this folder: put the model beside function.toml"
            )),
            _ => Ok(Self::Onnx(text)),
        }
    }
}

impl From<Model> for String {
    fn from(model: Model) -> Self {
        match model {
            Model::Null => "builtin:null".to_owned(),
            Model::Echo => "builtin:echo".to_owned(),
            Model::Onnx(file) => file,
        }
    }
}

impl FunctionConfig {
    /// What no single key's type can say: a key, and what to write there.
    pub(crate) fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong: Vec<(&'static str, String)> = Vec::new();
        if !MAX_BATCH.contains(&self.max_batch) {
            let (least, most) = (MAX_BATCH.start(), MAX_BATCH.end());
            let what = format!("max_batch = {}: write {least} to {most}", self.max_batch);
            wrong.push(("max_batch", what));
        }
        if self.max_wait.0 > MAX_WAIT {
            let what =
                format!("max_wait = \"{}\": write at most {}", self.max_wait, Span(MAX_WAIT));
            wrong.push(("max_wait", what));
        }
        if self.queue == 0 {
            let what = "queue = 0: a function that queues nothing refuses everything";
            wrong.push(("queue", what.to_owned()));
        }
        if self.length.as_ref().is_some_and(|length| length.max == 0) {
            wrong
                .push(("length.max", "length.max = 0: a request has at least length 1".to_owned()));
        }
        if let Padding::Fill(Fill { fill, .. }) = &self.pad
            && let Some((name, value)) = fill.iter().find(|(_, value)| !value.is_finite())
        {
            let what = format!("pad.fill: `{name} = {value}`: write a finite number");
            wrong.push(("pad.fill", what));
        }
        wrong.extend(self.check_model());
        wrong
    }

    /// What goes together with the model.
    fn check_model(&self) -> Option<(&'static str, String)> {
        let builtin = matches!(self.model, Model::Null | Model::Echo);
        if builtin && self.length.is_none() {
            let what = "a built-in model takes `length` bytes: write `length = { max = 1024 }`";
            return Some(("model", what.to_owned()));
        }
        if builtin && self.pad != Padding::None {
            return Some(("pad", "a built-in model takes no `pad`".to_owned()));
        }
        if builtin && self.outputs.as_ref().is_some_and(|outputs| *outputs != ["data"]) {
            let what = "a built-in model has one output: write `outputs = [\"data\"]`";
            return Some(("outputs", what.to_owned()));
        }
        if self.length.is_none() && self.pad != Padding::None {
            let what = "`pad` says how lengths share a batch, and this function has no `length`";
            return Some(("pad", what.to_owned()));
        }
        None
    }

    /// The longest length served; 1 where none varies.
    pub(crate) fn length_max(&self) -> u32 {
        self.length.as_ref().map_or(1, |length| length.max)
    }
}
