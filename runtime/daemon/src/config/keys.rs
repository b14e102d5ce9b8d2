//! The keys of `gpumuxd.toml` that stand for options. There is no table of them but the options
//! themselves: `--hang-limit` is the key `hang_limit`, takes what the option takes, and means the same.

use super::{Bytes, nearest};
use crate::options::Options;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgMatches, Command, CommandFactory};
use std::any::TypeId;
use std::error::Error;
use std::path::{Path, PathBuf};
use toml::de::{DeInteger, DeValue};

/// What is of one run or names the file itself, and so does not stand in it.
const OF_THE_COMMAND: [&str; 2] = ["config", "check_config"];

/// An option that may stand in the file.
#[derive(Clone, Debug)]
pub(super) struct Key {
    option: Arg,
    kind: Kind,
}

/// What a key's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A path. One that does not begin with `/` is relative to the folder of the file.
    Path,
    /// An amount of memory.
    Size,
    /// A span of time.
    Span,
    /// A whole number.
    Whole,
    /// Several of them.
    Numbers,
    /// One of some words.
    Choice,
    /// What its parser takes.
    Text,
}

impl Kind {
    fn of(option: &Arg) -> Self {
        let parser = option.get_value_parser().type_id();
        let whole = [TypeId::of::<u16>(), TypeId::of::<u32>(), TypeId::of::<usize>()];
        if option.get_value_delimiter().is_some() {
            Self::Numbers
        } else if !option.get_possible_values().is_empty() {
            Self::Choice
        } else if parser == TypeId::of::<PathBuf>() {
            Self::Path
        } else if parser == TypeId::of::<Bytes>() {
            Self::Size
        } else if parser == TypeId::of::<humantime::Duration>() {
            Self::Span
        } else if whole.iter().any(|it| parser == *it) {
            Self::Whole
        } else {
            Self::Text
        }
    }

    /// In words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Path => "a path",
            Self::Size => "an amount of memory",
            Self::Span => "a span of time",
            Self::Whole => "a whole number",
            Self::Numbers => "a list of whole numbers",
            Self::Choice => "a word",
            Self::Text => "a text",
        }
    }
}

/// All keys, in the order of the options.
pub(super) fn all() -> Vec<Key> {
    let command = Options::command();
    let options = command.get_arguments();
    let options = options.filter(|option| !OF_THE_COMMAND.contains(&option.get_id().as_str()));
    options.map(|option| Key { kind: Kind::of(option), option: option.clone() }).collect()
}

impl Key {
    /// As it is written in the file; clap's name of the option too.
    pub(super) fn name(&self) -> &str {
        self.option.get_id().as_str()
    }

    /// An argument that says what the file says.
    ///
    /// # Errors
    /// The option does not take that: what is wrong, and what to write.
    pub(super) fn argument(
        &self,
        value: &DeValue<'_>,
        folder: &Path,
    ) -> Result<Option<String>, String> {
        let text = match (self.kind, value) {
            (Kind::Whole, DeValue::Integer(number)) => whole(number),
            (Kind::Numbers, DeValue::Array(values)) if values.is_empty() => return Ok(None),
            (Kind::Numbers, DeValue::Array(values)) => {
                let numbers = values.iter().map(|it| it.get_ref().as_integer().and_then(whole));
                numbers.collect::<Option<Vec<_>>>().map(|numbers| numbers.join(","))
            }
            (Kind::Path, DeValue::String(path)) if !path.is_empty() => {
                folder.join(&**path).into_os_string().into_string().ok()
            }
            // Bare numbers are of the command line alone.
            (Kind::Size, DeValue::String(text)) => Some(text.parse::<Bytes>()?.to_string()),
            (Kind::Span | Kind::Choice | Kind::Text, DeValue::String(text)) => {
                Some(text.clone().into_owned())
            }
            _ => None,
        };
        let (name, kind) = (self.name(), self.kind.name());
        let text =
            text.ok_or_else(|| format!("`{name}` is {kind}: write `{name} = {}`", self.like()))?;
        let argument = self.written(&text);
        match self.alone().try_get_matches_from(["gpumuxd", &argument]) {
            Ok(_) => Ok(Some(argument)),
            Err(error) => Err(format!("`{name}`: {}", complaint(&text, &error))),
        }
    }

    fn written(&self, text: &str) -> String {
        format!("--{}={text}", self.option.get_long().unwrap_or_default())
    }

    /// A command line of nothing else.
    fn alone(&self) -> Command {
        Command::new("gpumuxd").disable_help_flag(true).arg(self.option.clone())
    }

    /// A value that it takes, as the file has it: its default, if it has one.
    fn like(&self) -> String {
        let by_kind = || match self.kind {
            Kind::Path => "/run/gpumux/x.sock",
            Kind::Size => "4GiB",
            Kind::Span => "20us",
            Kind::Whole | Kind::Numbers => "0",
            Kind::Choice | Kind::Text => "",
        };
        let default = self.default();
        let choice = self.choices().into_iter().next();
        self.literal(&default.or(choice).unwrap_or_else(|| by_kind().to_owned()))
    }

    /// A value of the command line, as the file has it.
    pub(super) fn literal(&self, text: &str) -> String {
        match self.kind {
            Kind::Whole => text.to_owned(),
            Kind::Numbers => format!("[{}]", text.replace(',', ", ")),
            _ => toml::Value::String(text.to_owned()).to_string(),
        }
    }

    /// Its default, if it has one.
    pub(super) fn default(&self) -> Option<String> {
        let default = self.option.get_default_values().first()?;
        default.to_str().map(str::to_owned)
    }

    /// The words that it takes; none where it takes others.
    pub(super) fn choices(&self) -> Vec<String> {
        let values = self.option.get_possible_values();
        values.iter().map(|value| value.get_name().to_owned()).collect()
    }

    /// What it is in a daemon of these options, in one way of writing it.
    pub(super) fn value(&self, options: &ArgMatches) -> Option<String> {
        match self.kind {
            Kind::Size => options.get_one::<Bytes>(self.name()).map(Bytes::to_string),
            Kind::Span => {
                options.get_one::<humantime::Duration>(self.name()).map(ToString::to_string)
            }
            _ => {
                let values = options.get_raw(self.name())?;
                let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
                Some(values.join(","))
            }
        }
    }
}

#[cfg(test)]
impl Key {
    /// What the reference says more.
    pub(super) fn option(&self) -> &Arg {
        &self.option
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// The least and the most that it takes, in its parser's own words.
    pub(super) fn range(&self) -> Option<(String, String)> {
        let beyond = match self.kind {
            Kind::Size => "1000PiB",
            Kind::Span => "9999y",
            Kind::Whole | Kind::Numbers => "999999999999",
            Kind::Path | Kind::Choice | Kind::Text => return None,
        };
        let refused = self.alone().try_get_matches_from(["gpumuxd", &self.written(beyond)]);
        let said = complaint(beyond, &refused.unwrap_err());
        let (_, range) = said.split_once(" is not in ").expect("each has a range");
        let (least, most) = range.split_once("..=").expect("each ends somewhere");
        Some((least.to_owned(), most.to_owned()))
    }
}

fn whole(number: &DeInteger<'_>) -> Option<String> {
    let number = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
    Some(number.to_string())
}

/// What clap has against a value, without its talk of the command line.
fn complaint(text: &str, error: &clap::Error) -> String {
    if let Some(source) = error.source() {
        return source.to_string();
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(words)) => {
            let known: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
            let nearest = nearest(text, words.iter().map(String::as_str));
            let hint = nearest.map(|nearest| format!("; did you mean `{nearest}`?"));
            format!("`{text}` is none of {}{}", known.join(", "), hint.unwrap_or_default())
        }
        _ => format!("`{text}` is not taken: {}", error.kind()),
    }
}
