//! `function.toml`: a model and its service.

use super::objective::Objective;
use super::span::Span;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// One function, as its file says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    pub(crate) max_batch: u32,
    /// How long the oldest request waits for company while every lane is busy.
    #[serde(default = "default_max_wait")]
    pub(crate) max_wait: Span,
    /// Most requests that wait.
    #[serde(default = "default_queue")]
    pub(crate) queue: u32,
    /// The device that serves it, as the driver numbers them; the one with most memory left when
    /// absent.
    pub(crate) device: Option<u32>,
    /// What the function is owed.
    #[serde(default)]
    pub(crate) service: Service,
}

/// What a function is owed. It is checked and shown; the policies that schedule by it say so, and
/// `fifo` is none of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[serde(deny_unknown_fields)]
pub(crate) struct Length {
    /// The model's name for it. The built-in models have one, called `length`.
    #[serde(default = "default_axis")]
    pub(crate) axis: String,
    /// The longest that is served; longer input is refused.
    pub(crate) max: u32,
}

/// How requests of different lengths share a batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// What no single key's type can say.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.max_batch == 0 || self.max_batch > 1024 {
            return Err(format!("max_batch = {}: write 1 to 1024", self.max_batch));
        }
        if self.queue == 0 {
            return Err("queue = 0: a function that queues nothing refuses everything".to_owned());
        }
        if self.length.as_ref().is_some_and(|length| length.max == 0) {
            return Err("length.max = 0: a request has at least length 1".to_owned());
        }
        if let Padding::Fill(Fill { fill, .. }) = &self.pad
            && let Some((name, value)) = fill.iter().find(|(_, value)| !value.is_finite())
        {
            return Err(format!("pad.fill: `{name} = {value}`: write a finite number"));
        }
        let builtin = matches!(self.model, Model::Null | Model::Echo);
        if builtin && self.length.is_none() {
            return Err(
                "a built-in model takes `length` bytes: write `length = { max = 1024 }`".to_owned()
            );
        }
        if builtin && self.pad != Padding::None {
            return Err("a built-in model takes no `pad`".to_owned());
        }
        if builtin && self.outputs.as_ref().is_some_and(|outputs| *outputs != ["data"]) {
            return Err("a built-in model has one output: write `outputs = [\"data\"]`".to_owned());
        }
        if self.length.is_none() && self.pad != Padding::None {
            return Err("`pad` says how lengths share a batch, and this function has no `length`"
                .to_owned());
        }
        Ok(())
    }

    /// The longest length served; 1 where none varies.
    pub(crate) fn length_max(&self) -> u32 {
        self.length.as_ref().map_or(1, |length| length.max)
    }
}
