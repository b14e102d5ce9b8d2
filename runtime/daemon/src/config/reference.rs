//! The pages of the reference on `gpumuxd.toml` and `function.toml`, and the file that the package
//! installs: written from what reads these files, and held to it.

mod tests;

use super::keys::{self, Key, Kind};
use super::objective::Objective;
use super::span::Span;
use super::tenant::{Mode, Pattern, Tenant};
use super::{Bytes, FunctionConfig, Model};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;
use std::borrow::Cow;

/// What a text means that is not only a text.
macro_rules! written_as {
    ($($type:ty: $kind:literal, $unit:expr, $range:literal;)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "kind": $kind, "unit": $unit, "range": $range })
            }
        }
    )*};
}

const SIZES: &str = "`B`, `KiB`, `MiB`, `GiB`";
const SPANS: &str = "`us`, `ms`, `s`, `m`, `h`";

written_as! {
    Bytes: "amount of memory", SIZES, "any";
    Span: "span of time", SPANS, "any";
    Objective: "`pQ < SPAN`", "percent, and a span of time", "Q between 0 and 100; SPAN above `0s`";
    Mode: "text of octal digits", "", "`0` to `0777`";
    Pattern: "name, or its beginning and `*`", "", "";
    Model: "`FILE.onnx`, `builtin:null` or `builtin:echo`", "", "";
}

/// A row of a page.
struct Row {
    key: String,
    kind: String,
    unit: String,
    default: String,
    /// The least and the most whole number.
    range: Option<(String, String)>,
    /// What else bounds it, in words.
    bounds: String,
    meaning: String,
    /// The option and its variable.
    option: Option<(String, String)>,
}

fn quoted(text: &str) -> String {
    format!("`{text}`")
}

/// A comment as a sentence on one line.
fn sentence(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() || text.ends_with('.') { text } else { format!("{text}.") }
}

fn option_row(key: &Key) -> Row {
    let option = key.option();
    let kind = match key.kind() {
        Kind::Choice => {
            key.choices().iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ")
        }
        kind => kind.name().split_once(' ').unwrap().1.to_owned(),
    };
    let unit = match key.kind() {
        Kind::Size => SIZES,
        Kind::Span => SPANS,
        Kind::Whole | Kind::Numbers => {
            let names = option.get_value_names().expect("each has a name");
            &names[0].to_lowercase()
        }
        Kind::Path | Kind::Choice | Kind::Text => "",
    };
    let help = option.get_long_help().or(option.get_help()).expect("each is described");
    Row {
        key: key.name().to_owned(),
        kind,
        unit: unit.to_owned(),
        default: key.default().map_or("–".to_owned(), |text| quoted(&key.literal(&text))),
        range: key.range(),
        bounds: String::new(),
        meaning: sentence(&help.to_string()),
        option: Some((
            option.get_long().unwrap().to_owned(),
            option.get_env().expect("each has a variable").to_str().unwrap().to_owned(),
        )),
    }
}

/// The headings of the options and what is under each.
fn sections() -> Vec<(String, Vec<Key>)> {
    let mut sections: Vec<(String, Vec<Key>)> = Vec::new();
    for key in keys::all() {
        let heading = key.option().get_help_heading().expect("each has a heading").to_owned();
        match sections.iter_mut().find(|(name, _)| *name == heading) {
            Some((_, keys)) => keys.push(key),
            None => sections.push((heading, vec![key])),
        }
    }
    sections
}

fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::default().with(|it| it.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// The forms that a value may have, but for its absence.
fn forms(schema: &Value) -> Vec<&Value> {
    let several = schema["anyOf"].as_array().or(schema["oneOf"].as_array());
    match several {
        Some(several) => several.iter().flat_map(forms).collect(),
        None if schema["type"] == "null" => Vec::new(),
        None => vec![schema],
    }
}

fn is(form: &Value, kind: &str) -> bool {
    let of = &form["type"];
    of == kind || of.as_array().is_some_and(|all| all.iter().any(|it| it == kind))
}

fn kind(form: &Value) -> String {
    if let Some(kind) = form["kind"].as_str() {
        return kind.to_owned();
    }
    if let Some(words) = form["enum"].as_array() {
        return words.iter().map(|it| quoted(&it.to_string())).collect::<Vec<_>>().join(", ");
    }
    match form {
        _ if !form["const"].is_null() => quoted(&form["const"].to_string()),
        _ if is(form, "integer") => "whole number".to_owned(),
        _ if is(form, "number") => "number".to_owned(),
        _ if is(form, "array") => format!("list of: {}", kind(&form["items"])),
        _ if form["additionalProperties"].is_object() => {
            format!("table of names, each a {}", kind(&form["additionalProperties"]))
        }
        _ if is(form, "object") => "table".to_owned(),
        _ if is(form, "string") => "text".to_owned(),
        other => panic!("{other} is of no kind"),
    }
}

fn range(form: &Value) -> Option<(String, String)> {
    let form = if is(form, "array") { &form["items"] } else { form };
    if !is(form, "integer") {
        return None;
    }
    let most = match form["format"].as_str() {
        Some("uint32") => u64::from(u32::MAX),
        other => panic!("{other:?} has no bounds"),
    };
    let bound = |name: &str, natural: u64| form[name].as_u64().unwrap_or(natural);
    Some((bound("minimum", 0).to_string(), bound("maximum", most).to_string()))
}

/// The keys of a table, those that must be there first.
fn table_rows(schema: &Value, prefix: &str) -> Vec<Row> {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut properties: Vec<(&String, &Value)> =
        schema["properties"].as_object().expect("a table has keys").iter().collect();
    properties.sort_by_key(|(name, _)| !required.contains(&name.as_str()));
    let mut rows = Vec::new();
    for (name, property) in properties {
        let key = format!("{prefix}{name}");
        let forms = forms(property);
        let default = match &property["default"] {
            _ if required.contains(&name.as_str()) => "must be there".to_owned(),
            Value::Null | Value::Object(_) => "–".to_owned(),
            value => quoted(&value.to_string()),
        };
        let inner = forms.iter().filter(|form| form["properties"].is_object());
        let inner: Vec<Row> = inner.flat_map(|form| table_rows(form, &format!("{key}."))).collect();
        let described =
            |form: &&&Value| !form["const"].is_null() && form["description"].is_string();
        let words = forms.iter().filter(described).map(|form| {
            let meaning = form["description"].as_str().unwrap();
            format!(" `{}`: {}", form["const"], sentence(meaning))
        });
        let of_either = |what: &str| {
            let found = [property, forms[0]].into_iter().find_map(|it| it[what].as_str());
            found.unwrap_or_default().to_owned()
        };
        rows.push(Row {
            kind: forms.iter().map(|form| kind(form)).collect::<Vec<_>>().join(", "),
            unit: of_either("unit"),
            default,
            range: range(forms[0]),
            bounds: of_either("range"),
            meaning: sentence(property["description"].as_str().expect("each is described"))
                + &words.collect::<String>(),
            option: None,
            key,
        });
        rows.extend(inner);
    }
    rows
}

fn table(rows: &[Row]) -> String {
    let options = rows.iter().any(|row| row.option.is_some());
    let mut text = String::from("| key | type | unit | default | range | what it is |");
    text += if options {
        " option | variable |\n|---|---|---|---|---|---|---|---|\n"
    } else {
        "\n|---|---|---|---|---|---|\n"
    };
    for row in rows {
        let Row { key, kind, unit, default, meaning, .. } = row;
        let range = row.range.as_ref().map(|(least, most)| format!("{least} to {most}"));
        let range = range.unwrap_or_else(|| row.bounds.clone());
        text += &format!("| `{key}` | {kind} | {unit} | {default} | {range} | {meaning} |");
        if let Some((long, variable)) = &row.option {
            text += &format!(" `--{long}` | `{variable}` |");
        }
        text.push('\n');
    }
    text
}

const DAEMON_EXAMPLE: &str = include_str!("reference/gpumuxd.toml");
const FUNCTION_EXAMPLE: &str = include_str!("reference/function.toml");
const BUILTIN_EXAMPLE: &str = "model  = \"builtin:echo\"\nlength = { max = 65536 }\n";

fn daemon_page() -> String {
    let mut page = String::from(
        "# gpumuxd.toml\n\n\
         Written from the daemon's own options and its type of a tenant; a test keeps the page and the \
         daemon the same.\n\n\
         The file is what `--config` or `GPUMUX_CONFIG` names, else `/etc/gpumux/gpumuxd.toml` if that is \
         there. Every key but the\ntenants stands for an option: the command line wins over the \
         environment, that over the file, and the file over the default.\n\n\
         - Amounts of memory and spans of time are texts with a unit: `\"4GiB\"`, `\"20us\"`. A bare \
         number is refused. (On the\n  command line and in the environment a bare amount of memory is \
         bytes.) Units of memory are `B`, `KiB`, `MiB`,\n  `GiB`, `TiB`, and `kB`, `MB`, `GB`, `TB` of \
         powers of ten; of time `ns`, `us`, `ms`, `s`, `m`, `h`, `d`, also together: `\"1m 30s\"`.\n\
         - A path that does not begin with `/` is seen from the folder of the file.\n\
         - A key that is not on this page is refused with its line and column and the nearest one that \
         is, and so is a value\n  out of its range. `gpumuxd --check-config` says all of it at once and \
         starts nothing; its exit code is 0 or 1.\n\
         - The options stand above the first `[tenant.NAME]`.\n\
         - `gpumux reload` and SIGHUP read the file anew. Tenants and functions change in the daemon that runs. An option \
         that would be another\n  needs a restart and is named, with its line. A file with a mistake \
         changes nothing.\n",
    );
    for (heading, keys) in sections() {
        let rows: Vec<Row> = keys.iter().map(option_row).collect();
        page += &format!("\n## {heading}\n\n{}", table(&rows));
    }
    page += "\n## `[tenant.NAME]`\n\n\
             Who pays. A peer is a tenant's when it came by the tenant's `socket`, or by the daemon's own and \
             is of its `cgroup`, `uid`\nor `gid`; of several tenants the one that says more (in this \
             order) has it. `[tenant.default]` takes who is nobody else's.\nWithout any tenant in the \
             file whoever reaches the daemon's socket is of `default`, which may then have everything. A\nname \
             is 1 to 64 of `a-z`, `0-9`, `-` and `_`.\n\n";
    page += &table(&table_rows(&schema::<Tenant>(), ""));
    page + "\n## An example with every key\n\n```toml\n" + DAEMON_EXAMPLE + "```\n"
}

fn function_page() -> String {
    let rows = table_rows(&schema::<FunctionConfig>(), "");
    String::from(
        "# function.toml\n\n\
         Written from the daemon's type of a function; a test keeps the page and the daemon the \
         same.\n\n\
         One folder a function, under `models` of [gpumuxd.toml](gpumuxd-toml.md); the folder's name \
         is the function's: 1 to 64\nof `a-z`, `0-9`, `-` and `_`. A key that is not on this page is \
         refused with its line and column, and so is a value out of\nits range; `gpumuxd --check-config` \
         reads every file. Spans of time are texts with a unit, as in gpumuxd.toml. A key with a\ndot \
         is of a table: `length.max` is `length = { max = 512 }`, or `max = 512` under `[length]`.\n\n",
    ) + &table(&rows)
        + "\n## Examples\n\nA model of a file beside it, with every key:\n\n```toml\n"
        + FUNCTION_EXAMPLE
        + "```\n\nBytes back, to try the way there:\n\n```toml\n"
        + BUILTIN_EXAMPLE
        + "```\n"
}

/// Values for options without a default.
const FOR_EXAMPLE: [(&str, &str); 6] = [
    ("metrics_socket", "/run/gpumux/metrics.sock"),
    ("metrics_listen", "127.0.0.1:9400"),
    ("devices", "0,2"),
    ("emulator", "/usr/lib/gpumux/libgpumux_emulator.so"),
    ("dispatch_core", "2"),
    ("log_format", "json"),
];

/// Text as comments, in lines of a readable length.
fn comment(text: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in text.split_whitespace() {
        if lines[lines.len() - 1].len() + word.len() > 108 {
            lines.push(String::from("#"));
        }
        let line = lines.last_mut().unwrap();
        line.push(' ');
        line.push_str(word);
    }
    lines.join("\n") + "\n"
}

/// The file that the package installs.
fn installed_file() -> String {
    let mut text = comment(
        "gpumuxd.toml: the daemon's options, and its tenants. Everything here is a comment: each key \
         stands with its default, or with an example where it has none. Take the # away from what is to \
         be otherwise, look with `gpumuxd --check-config`, and apply it with `systemctl restart gpumuxd`; \
         for tenants and functions `gpumux reload` is enough. The reference is \
         /usr/share/doc/gpumux/docs/reference/gpumuxd-toml.md.",
    );
    for (heading, keys) in sections() {
        text += &format!("\n# == {heading} ==\n");
        for key in keys {
            let Row { kind, range, meaning, .. } = option_row(&key);
            let range = range.map(|(least, most)| format!(", {least} to {most}"));
            let kind = kind.replace('`', "") + &range.unwrap_or_default();
            text += &format!("\n{}", comment(&format!("{meaning} ({kind})")));
            let (default, example) = (key.default(), FOR_EXAMPLE.iter());
            let example = example.clone().find(|(name, _)| *name == key.name());
            let value = default.unwrap_or_else(|| {
                text += "# Not set by default. For example:\n";
                example.expect("a key without a default has an example").1.to_owned()
            });
            text += &format!("#{} = {}\n", key.name(), key.literal(&value));
        }
    }
    text += "\n# == Tenants ==\n\n";
    text += &comment(
        "Without any, whoever reaches the daemon's socket is of one tenant. This one has a socket of its \
         own, to be mounted into its containers; the rest are defaults.",
    );
    text += "#[tenant.shop]\n#socket = \"/run/gpumux/shop.sock\"\n";
    let all_mapped = keys::all().into_iter().find(|key| key.name() == "mapped_bytes_max").unwrap();
    let all_mapped = all_mapped.literal(&all_mapped.default().unwrap());
    let others = ["socket", "uid", "gid", "cgroup"];
    for row in table_rows(&schema::<Tenant>(), "") {
        if others.contains(&row.key.as_str()) {
            continue;
        }
        text += &comment(&row.meaning);
        let value = match row.key.as_str() {
            "mapped_bytes_max" => &all_mapped,
            _ => row.default.trim_matches('`'),
        };
        text += &format!("#{} = {value}\n", row.key);
    }
    text += "\n# These are told at the daemon's socket, by whose process the peer is.\n";
    text += "#[tenant.batch]\n#uid = [1000]\n#gid = [1000]\n#cgroup = \"/system.slice/batch.service\"\n";
    text
}
